// Acknowledged sends that are on disk, beside what the bare store inserts in the same run.
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { sql } from 'drizzle-orm'
import postgres from 'postgres'
import { openStore } from '@claudemesh/drivers'
import { postgresUrl, startPostgres } from '../harness/postgres.ts'
import { configure } from './configure.ts'
import { measure } from './relay/measure.ts'
import { nodeServer } from './relay/servers.ts'
import { percentile, ratioRow, type Row } from './table.ts'

const seconds = 3
// The store works beside the broker, so nobody is kept on a core.
const job = { shape: 'pairs', size: 50, depth: 32, durable: true, plain: false } as const
const load = { by: 'load', job, pinned: false } as const
const mostOfAck = 15

/** What the bare store does: one table, one batch in flight. Rows per second, and how long a batch takes. */
async function bareInserts(url: string, rowsPerBatch: number): Promise<{ perSecond: number; delays: number[] }> {
  await using store = await openStore(url)
  await store.db.execute(sql`create table public.bare (id text primary key, recipient text not null, body text not null)`)
  const body = 'x'.repeat(1400)
  const start = performance.now()
  const delays: number[] = []
  while (performance.now() < start + seconds * 1000) {
    const began = performance.now()
    const ids = Array.from({ length: rowsPerBatch }, () => randomBytes(16).toString('base64url'))
    const columns = [ids, ids.map(() => 'r'.repeat(43)), ids.map(() => body)].map((values) => sql`string_to_array(${values.join('\n')}::text, E'\n')`)
    await store.db.execute(sql`insert into public.bare select * from unnest(${sql.join(columns, sql`, `)})`)
    delays.push(performance.now() - began)
  }
  return { perSecond: (delays.length * rowsPerBatch * 1000) / (performance.now() - start), delays }
}

// What both parts of the bench write, and more.
const logSegments = 60

/** A server that has run for a while takes old files of its log again; a fresh one writes each 16 MB of zeros first, and lets a batch wait for that. */
async function runIn(url: string): Promise<void> {
  // No checkpoint of its own in the seconds that are measured.
  await configure(url, { min_wal_size: '2GB', max_wal_size: '8GB' })
  const server = postgres(url, { max: 1 })
  await server.unsafe('create table written (x int)')
  for (let i = 0; i < logSegments; i++) {
    await server.unsafe('insert into written values (1)')
    await server.unsafe('select pg_switch_wal()')
  }
  await server.unsafe('checkpoint')
  await server.end()
}

/** On a PostgreSQL that waits for its disk. */
export async function durableBench(): Promise<Row[]> {
  await using server = await startPostgres({ durable: true })
  await runIn(server.url)
  const bare = await bareInserts(await postgresUrl(server.url), 128)
  const url = await postgresUrl(server.url)
  const { perSecond } = await measure(() => nodeServer(url, false), load, seconds)
  const half = await measure(() => nodeServer(url, false), { ...load, job: { ...job, offered: perSecond / 2 } }, seconds)
  const [value, baseline] = [percentile([...half.delays], 0.99), percentile(bare.delays, 0.99)]
  const goal = { goal: `≤ ${mostOfAck} ms`, met: value <= mostOfAck }
  return [
    ratioRow('durable', 'acked sends, PostgreSQL', perSecond, bare.perSecond, 'msg/s', 0.5),
    { bench: 'durable', metric: 'ack at half that load, p99, beside a bare batch', value, unit: 'ms', baseline, ratio: value / baseline, ...goal },
  ]
}

/** On PGlite in a folder. */
export async function embeddedBench(): Promise<Row[]> {
  const folder = mkdtempSync(join(tmpdir(), 'claudemesh-bench-'))
  try {
    const bare = await bareInserts(`pglite:${join(folder, 'bare')}`, 64)
    const { perSecond } = await measure(() => nodeServer(`pglite:${join(folder, 'broker')}`, false), load, seconds)
    return [ratioRow('embedded', 'acked sends, PGlite on disk', perSecond, bare.perSecond, 'msg/s', 0.5)]
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
