#!/usr/bin/env node
import { once } from 'node:events'
import type { Migration } from '@claudemesh/drivers'
import { systemClock } from '@claudemesh/protocol'
import manifest from '../package.json' with { type: 'json' }
import { check, lineOf } from './check.ts'
import { ConfigError } from './config-error.ts'
import { configFrom, shown, type Config } from './config.ts'
import { jsonLog } from './logs.ts'
import { withStore } from './with-store.ts'
import { serve } from './serve.ts'

// Put in place by the bundler; sources read the folder of the repository.
declare const CLAUDEMESH_MIGRATIONS: readonly Migration[] | undefined

const migrations = typeof CLAUDEMESH_MIGRATIONS === 'undefined' ? {} : { migrations: CLAUDEMESH_MIGRATIONS }

async function run(config: Config): Promise<void> {
  const log = jsonLog(config.logLevel)
  await using broker = await serve(config, { clock: systemClock, log, version: manifest.version, ...migrations })
  log('info', 'serving', { url: broker.url, port: broker.port })
  const asked = Promise.race([once(process, 'SIGTERM'), once(process, 'SIGINT')]) as Promise<[NodeJS.Signals]>
  const end = await Promise.race([asked, broker.failed])
  if (end instanceof Error) throw end
  log('info', 'draining', { signal: end[0] })
}

/** `--backup FILE` or `--restore FILE`. */
async function copy(config: Config): Promise<void> {
  const { backUp, restore } = await import('./backup.ts')
  const [name = '', file] = process.argv.slice(process.argv.findIndex((arg) => arg === '--backup' || arg === '--restore'))
  if (file === undefined) throw new ConfigError(`${name} needs a file`)
  const rows = await withStore(config, migrations, (db) => (name === '--backup' ? backUp(db, file) : restore(db, file)))
  process.stdout.write(`${JSON.stringify({ file, rows })}\n`)
}

try {
  const config = configFrom(process.env)
  if (process.argv.includes('--check')) {
    process.stdout.write(`${JSON.stringify(shown(config), null, 2)}\n`)
    const checks = await check(config, systemClock)
    for (const one of checks) process.stderr.write(`${lineOf(one)}\n`)
    if (checks.some(({ ok }) => !ok)) process.exitCode = 1
  } else if (process.argv.includes('--backup') || process.argv.includes('--restore')) await copy(config)
  else await run(config)
} catch (error) {
  process.stderr.write(`claudemesh broker: ${error instanceof Error ? error.message : String(error)}\n`)
  process.exitCode = error instanceof ConfigError ? 2 : 1
}
