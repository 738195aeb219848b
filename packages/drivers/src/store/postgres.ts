import { drizzle } from 'drizzle-orm/postgres-js'
import postgres from 'postgres'
import type { Database, Store } from '@claudemesh/broker/ports'
import { applyMigrations, type Migration } from '../migrations.ts'
import { claim } from './claim.ts'
import { postgresOptions } from './postgres-options.ts'

/** A PostgreSQL server, 15 or later. The pool opens connections as they are needed. */
export function openPostgres(url: string, migrations: () => Promise<readonly Migration[]>): Store {
  const client = postgres(url, { ...postgresOptions(url), max: 8 })
  const db = drizzle(client) as unknown as Database
  return {
    db,
    migrate: async () => applyMigrations(db, await migrations()),
    claim: (how, lost) => claim(url, how, lost),
    [Symbol.asyncDispose]: () => client.end({ timeout: 5 }),
  }
}
