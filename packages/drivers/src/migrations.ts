import { readdir, readFile } from 'node:fs/promises'
import { sql } from 'drizzle-orm'
import type { Database } from '@claudemesh/broker/ports'

/** One step of the schema: a name that sorts in the order of application, and its statements. */
export interface Migration {
  readonly name: string
  readonly statements: readonly string[]
}

/** The migrations of a folder of generated SQL files, in order. Without a folder: those of this repository. */
export async function readMigrations(folder: URL = new URL('../../../drizzle/', import.meta.url)): Promise<Migration[]> {
  const files = (await readdir(folder)).filter((name) => name.endsWith('.sql')).sort()
  return Promise.all(files.map(async (name) => ({ name, statements: statementsOf(await readFile(new URL(name, folder), 'utf8')) })))
}

/** The statements of one generated SQL file. */
export function statementsOf(text: string): string[] {
  return text
    .split('--> statement-breakpoint')
    .map((statement) => statement.trim())
    .filter((statement) => statement !== '')
}

// Any number, as long as it is always the same: brokers that start together take turns.
const lock = 7_717_001

/** Applies what is not yet applied, all or nothing. */
export async function applyMigrations(db: Database, migrations: readonly Migration[]): Promise<void> {
  await db.transaction(async (tx) => {
    await tx.execute(sql`select pg_advisory_xact_lock(${lock})`)
    // A step that waits for a table makes everybody else wait behind it: brokers that serve are not held up for long by one that starts.
    await tx.execute(sql`set local lock_timeout = '2s'`)
    await tx.execute(sql`create table if not exists public.claudemesh_migration (name text primary key, applied_at timestamptz not null default now())`)
    for (const { name, statements } of migrations) {
      const fresh: unknown = await tx.execute(sql`insert into public.claudemesh_migration (name) values (${name}) on conflict do nothing returning name`)
      if ((Array.isArray(fresh) ? fresh : (fresh as { rows: unknown[] }).rows).length === 0) continue
      for (const statement of statements) await tx.execute(sql.raw(statement))
    }
  })
}
