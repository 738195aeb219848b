import { ConfigError, configFrom, serve, shown, type Config } from '@claudemesh/broker-app'
import type { Log } from '@claudemesh/protocol'
import type { Context } from '../context.ts'
import { Failure } from '../failure.ts'
import { bundledMigrations } from '../local/migrations.ts'
import type { Output } from '../output.ts'
import { untilStopped } from '../until-stopped.ts'

/** The production broker: configured by the environment, one line of JSON per event on stdout, until it is told to stop. */
export async function broker(context: Context, output: Output, { check = false }: { check?: boolean }): Promise<void> {
  const config = settings(context)
  if (check) return output.value({ ...shown(config) })
  const log: Log = (level, event, fields) => {
    if (level !== 'debug') output.value({ time: new Date(context.clock.now()).toISOString(), level, event, ...fields })
  }
  await using running = await serve(config, { clock: context.clock, log, version: context.version, ...bundledMigrations() })
  log('info', 'serving', { url: running.url, port: running.port })
  log('info', 'draining', { signal: await untilStopped() })
}

function settings(context: Context): Config {
  try {
    return configFrom(context.env)
  } catch (cause) {
    if (cause instanceof ConfigError) throw new Failure('usage', cause.message, { cause })
    throw cause
  }
}
