import { mkdirSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import type { PGlite } from '@electric-sql/pglite'
import { drizzle } from 'drizzle-orm/pglite'
import type { Database, Store } from '@claudemesh/broker/ports'
import { applyMigrations, type Migration } from '../migrations.ts'
import { lockFolder } from './lock.ts'
import { PgliteThread } from './pglite-thread.ts'

/** PostgreSQL inside this process, in a thread of its own: in memory without a folder, else on disk, where one process at a time may open it. */
export async function openPglite(folder: string, migrations: () => Promise<readonly Migration[]>): Promise<Store> {
  const path = folder === '' ? undefined : resolve(folder)
  if (path !== undefined) mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  const unlock = path === undefined ? () => {} : lockFolder(path)
  try {
    const client = await PgliteThread.open(path)
    const db = drizzle(client as unknown as PGlite) as unknown as Database
    return {
      db,
      gone: client.gone,
      migrate: async () => applyMigrations(db, await migrations()),
      [Symbol.asyncDispose]: async () => {
        await client[Symbol.asyncDispose]()
        unlock()
      },
    }
  } catch (error) {
    unlock()
    throw error
  }
}
