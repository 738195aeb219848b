// What one broker core can do, beside a plain `ws` relay and the bare database in the same run. Load comes from a process of its own.
import { fork, type ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { sql } from 'drizzle-orm'
import { openStore } from '@claudemesh/drivers'
import { postgresUrl, startPostgres } from '../harness/postgres.ts'
import type { Job } from './relay/load.ts'
import { printRows, type Row } from './table.ts'

interface Usage {
  readonly cpu: NodeJS.CpuUsage
  readonly rss: number
}

/** Rates per second of the server's processor time and of the clock on the wall, and its memory before and at the end. */
interface Figures {
  readonly perCore: number
  readonly perSecond: number
  readonly rssBefore: number
  readonly rss: number
}

const seconds = 3

/** A process of the bench: its messages in order, none lost, and an error instead of a wait when it ends. */
class Child {
  readonly #process: ChildProcess
  readonly #messages: unknown[] = []
  #wake: () => void = () => {}

  constructor(name: string, args: readonly string[] = [], execArgv: readonly string[] = []) {
    this.#process = fork(new URL(`./relay/${name}.ts`, import.meta.url), [...args], { execArgv: [...execArgv] })
    this.#process.on('message', (message) => {
      this.#messages.push(message)
      this.#wake()
    })
    this.#process.on('exit', () => this.#wake())
  }

  async next<T>(): Promise<T> {
    while (this.#messages.length === 0) {
      if (this.#process.exitCode !== null || this.#process.signalCode !== null) throw new Error('a process of the bench ended early')
      await new Promise<void>((resolve) => (this.#wake = resolve))
    }
    return this.#messages.shift() as T
  }

  async ask<T>(question: object | string): Promise<T> {
    this.#process.send(question)
    return this.next()
  }

  async end(): Promise<void> {
    this.#process.kill('SIGKILL')
    if (this.#process.exitCode === null && this.#process.signalCode === null) await once(this.#process, 'exit')
  }
}

async function measure(store: string, job: Omit<Job, 'port' | 'plain' | 'seconds'>): Promise<Figures> {
  const server = new Child('server', [store], ['--expose-gc', '--max-semi-space-size=64'])
  const loader = new Child('load')
  try {
    const { port } = await server.next<{ port: number }>()
    const before = await server.ask<Usage>('usage')
    await loader.ask({ ...job, port, plain: store === 'ceiling', seconds } satisfies Job)
    const [from, start] = [await server.ask<Usage>('usage'), performance.now()]
    const { total } = await loader.next<{ total: number }>()
    const wall = (performance.now() - start) / 1000
    const to = await server.ask<Usage>('usage')
    const cpu = (to.cpu.user + to.cpu.system - from.cpu.user - from.cpu.system) / 1e6
    return { perCore: total / cpu, perSecond: total / wall, rssBefore: before.rss, rss: from.rss }
  } finally {
    await Promise.all([loader.end(), server.end()])
  }
}

const ratioRow = (bench: string, metric: string, value: number, baseline: number, unit: string, least?: number): Row => ({
  bench,
  metric,
  value,
  unit,
  baseline,
  ratio: value / baseline,
  ...(least === undefined ? {} : { goal: `>= ${least} x`, met: value / baseline >= least }),
})

async function relay(): Promise<Row[]> {
  const job = { shape: 'pairs', size: 50, depth: 32, durable: false } as const
  const plain = await measure('ceiling', job)
  const broker = await measure('pglite:', job)
  return [
    ratioRow('relay', 'volatile 1:1, 50 pairs x 32', broker.perCore, plain.perCore, 'msg/s of one core', 0.8),
    ratioRow('relay', 'the same, by the wall clock', broker.perSecond, plain.perSecond, 'msg/s'),
  ]
}

async function fanout(size: number): Promise<Row[]> {
  const job = { shape: 'fanout', size, depth: 4, durable: false } as const
  const plain = await measure('ceiling', job)
  const broker = await measure('pglite:', job)
  return [ratioRow('fanout', `1 to ${size}, a wrap each`, broker.perCore, plain.perCore, 'deliveries/s of one core')]
}

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

async function durable(): Promise<Row[]> {
  const job = { shape: 'pairs', size: 50, depth: 32, durable: true } as const
  await using postgres = await startPostgres({ durable: true })
  const bare = await bareInserts(await postgresUrl(postgres.url), 128)
  const broker = await measure(await postgresUrl(postgres.url), job)
  const folder = mkdtempSync(join(tmpdir(), 'claudemesh-bench-'))
  try {
    const bareLite = await bareInserts(`pglite:${join(folder, 'bare')}`, 64)
    const embedded = await measure(`pglite:${join(folder, 'broker')}`, job)
    return [
      ratioRow('durable', 'acked sends, PostgreSQL', broker.perSecond, bare, 'msg/s', 0.5),
      ratioRow('embedded', 'acked sends, PGlite on disk', embedded.perSecond, bareLite, 'msg/s', 0.5),
    ]
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

async function idle(): Promise<Row[]> {
  const size = 2000
  const job = { shape: 'idle', size, depth: 0, durable: false } as const
  const plain = await measure('ceiling', job)
  // The embedded store would add its own memory to the broker's.
  await using postgres = await startPostgres()
  const broker = await measure(await postgresUrl(postgres.url), job)
  const perSession = (figures: Figures) => (figures.rss - figures.rssBefore) / 1024 / size
  const [value, baseline] = [perSession(broker), perSession(plain)]
  return [
    {
      bench: 'idle',
      metric: `memory per session, ${size} in 20 meshes`,
      value,
      unit: 'KiB',
      baseline,
      ratio: value / baseline,
      goal: '<= 3 x',
      met: value / baseline <= 3,
    },
  ]
}

/** Relay, fan-out, durable and idle figures of the broker, each beside its baseline. */
export async function relayBench(): Promise<Row[]> {
  return [...(await relay()), ...(await fanout(100)), ...(await fanout(1000)), ...(await durable()), ...(await idle())]
}

if (process.argv[1] === new URL(import.meta.url).pathname) printRows(await relayBench(), process.argv.includes('--json'))
