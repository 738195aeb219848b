// Acknowledged sends that are on disk, beside what the bare store inserts in the same run.
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { sql } from 'drizzle-orm'
import { openStore } from '@claudemesh/drivers'
import { postgresUrl, startPostgres } from '../harness/postgres.ts'
import { measure, type Load } from './relay/measure.ts'
import { nodeServer } from './relay/servers.ts'
import { ratioRow, type Row } from './table.ts'

const seconds = 3
// The store works beside the broker, so nobody is kept on a core.
const load: Load = { by: 'load', job: { shape: 'pairs', size: 50, depth: 32, durable: true, plain: false }, pinned: false }

/** Rows per second of the bare store: one table, one batch in flight. */
async function bareInserts(url: string, rowsPerBatch: number): Promise<number> {
  await using store = await openStore(url)
  await store.db.execute(sql`create table public.bare (id text primary key, recipient text not null, body text not null)`)
  const body = 'x'.repeat(1400)
  const end = performance.now() + seconds * 1000
  const start = performance.now()
  let n = 0
  while (performance.now() < end) {
    const ids = Array.from({ length: rowsPerBatch }, () => randomBytes(16).toString('base64url'))
    const columns = [ids, ids.map(() => 'r'.repeat(43)), ids.map(() => body)].map((values) => sql`string_to_array(${values.join('\n')}::text, E'\n')`)
    await store.db.execute(sql`insert into public.bare select * from unnest(${sql.join(columns, sql`, `)})`)
    n += rowsPerBatch
  }
  return (n * 1000) / (performance.now() - start)
}

/** On a PostgreSQL that waits for its disk. */
export async function durableBench(): Promise<Row[]> {
  await using postgres = await startPostgres({ durable: true })
  const bare = await bareInserts(await postgresUrl(postgres.url), 128)
  const url = await postgresUrl(postgres.url)
  const { perSecond } = await measure(() => nodeServer(url, false), load, seconds)
  return [ratioRow('durable', 'acked sends, PostgreSQL', perSecond, bare, 'msg/s', 0.5)]
}

/** On PGlite in a folder. */
export async function embeddedBench(): Promise<Row[]> {
  const folder = mkdtempSync(join(tmpdir(), 'claudemesh-bench-'))
  try {
    const bare = await bareInserts(`pglite:${join(folder, 'bare')}`, 64)
    const { perSecond } = await measure(() => nodeServer(`pglite:${join(folder, 'broker')}`, false), load, seconds)
    return [ratioRow('embedded', 'acked sends, PGlite on disk', perSecond, bare, 'msg/s', 0.5)]
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
