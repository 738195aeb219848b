import { check as tryServices, ConfigError, configFrom, lineOf, serve, shown, withStore, type Config } from '@claudemesh/broker-app'
import { jsonLog } from '@claudemesh/broker-app/logs'
import type { Context } from '../context.ts'
import { Failure } from '../failure.ts'
import { bundledMigrations } from '../local/migrations.ts'
import type { Output } from '../output.ts'
import { untilStopped } from '../until-stopped.ts'

/** The production broker: configured by the environment, one line of JSON per event on stdout, until it is told to stop. */
export async function broker(
  context: Context,
  output: Output,
  { check = false, backup, restore }: { check?: boolean; backup?: string; restore?: string },
): Promise<void> {
  const config = settings(context)
  if (check) return checked(context, output, config)
  if (backup !== undefined || restore !== undefined) return copied(output, config, { backup, restore })
  const log = jsonLog(config.logLevel, context.stdout)
  await using running = await serve(config, { clock: context.clock, log, version: context.version, ...bundledMigrations() })
  log('info', 'serving', { url: running.url, port: running.port })
  const end = await Promise.race([untilStopped(), running.failed])
  if (end instanceof Error) throw end
  log('info', 'draining', { signal: end })
}

/** The settings, then each service that they name. Throws when one does not answer. */
async function checked(context: Context, output: Output, config: Config): Promise<void> {
  const checks = await tryServices(config, context.clock)
  const { rates, ...settings } = shown(config)
  // Forty lines that nobody has changed hide the others.
  const said = { ...settings, rates: context.env['RATES'] === undefined ? 'as in the documentation' : rates }
  output.result({ json: { ...shown(config), checks }, text: [JSON.stringify(said, null, 2), ...checks.map(lineOf)] })
  const failed = checks.filter(({ ok }) => !ok).map(({ part }) => part)
  if (failed.length > 0) throw new Failure('not_answering', `does not answer: ${failed.join(', ')}`)
}

async function copied(output: Output, config: Config, { backup, restore }: { backup: string | undefined; restore: string | undefined }): Promise<void> {
  if (backup !== undefined && restore !== undefined) throw new Failure('usage', '--backup and --restore are two commands')
  const file = backup ?? restore ?? ''
  const copy = await import('@claudemesh/broker-app/backup')
  const rows = await withStore(config, bundledMigrations(), (db) => (backup === undefined ? copy.restore(db, file) : copy.backUp(db, file))).catch(
    explainFile(file),
  )
  output.result({ json: { file, rows }, text: `${rows} rows ${backup === undefined ? 'from' : 'in'} ${file}` })
}

const fileFaults: Record<string, string> = {
  EEXIST: 'exists already, and a backup replaces nothing; choose another name',
  ENOENT: 'is not there, or its folder is not; see the path',
  EISDIR: 'is a folder; name a file',
  EACCES: 'may not be opened by this user; see its permissions',
}

const explainFile = (file: string) => (cause: NodeJS.ErrnoException) => {
  const fault = cause.path === file ? fileFaults[cause.code ?? ''] : undefined
  throw fault === undefined ? cause : new Failure('bad_file', `${file} ${fault}`, { cause })
}

function settings(context: Context): Config {
  try {
    return configFrom(context.env)
  } catch (cause) {
    if (cause instanceof ConfigError) throw new Failure('usage', cause.message, { cause })
    throw cause
  }
}
