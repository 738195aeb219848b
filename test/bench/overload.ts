// One broker as it is run, and three times what it can take: what is refused, how, and what everybody else notices of it.
import { execFile, fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as wait } from 'node:timers/promises'
import { promisify } from 'node:util'
import { brokerProcess } from '../cluster/processes.ts'
import { postgresUrl, startPostgres, type PostgresServer } from '../harness/postgres.ts'
import { end } from './children.ts'
import type { Seen, Window } from './overload/ledger.ts'
import type { Wish } from './overload/load.ts'
import { printRows, type Row } from './table.ts'

const pairs = { flood: 50, calm: 2 }
const calmRate = 40
const seconds = { closed: 3, half: 5, flood: 10, after: 8 }
const MiB = 1024 * 1024

interface Phases {
  readonly phases: readonly Seen[]
}

async function ask<T>(child: ChildProcess, wish: Wish): Promise<T> {
  child.send(wish)
  return ((await once(child, 'message')) as [T])[0]
}

/** The highest memory of a process until the work is done, asked twice a second. */
async function peakOf<T>(pid: number, work: Promise<T>): Promise<{ peak: number; result: T }> {
  let peak = 0
  const look = async () => (peak = Math.max(peak, await rss(pid)))
  const timer = setInterval(() => void look(), 500)
  try {
    const result = await work
    await look()
    return { peak, result }
  } finally {
    clearInterval(timer)
  }
}

const rss = async (pid: number) => Number((await promisify(execFile)('ps', ['-o', 'rss=', '-p', String(pid)])).stdout) * 1024

/** Milliseconds from the end of the flood to the beginning of the first second in which all was as at half load. */
function backToNormal(windows: readonly Window[], usual: Seen): number {
  const normal = windows.map(({ refused, unanswered, p90 }) => refused + unanswered === 0 && p90 <= Math.max(2 * usual.p99, 20))
  const first = normal.findIndex((_, i) => normal.slice(i, i + 4).filter(Boolean).length === 4)
  return windows[first - 1]?.until ?? (first === 0 ? 0 : Number.POSITIVE_INFINITY)
}

/** Three times the load that one broker can take, from a mesh of its own, while another mesh works. */
async function withoutRates(postgres: PostgresServer): Promise<{ rows: Row[]; capacity: number }> {
  await using broker = await brokerProcess({ STORE_URL: await postgresUrl(postgres.url), RATES: 'off' })
  const children = [0, 1].map(() => fork(new URL('overload/load.ts', import.meta.url)))
  const [flood, calm] = children as [ChildProcess, ChildProcess]
  try {
    await ask(flood, { do: 'come', port: broker.port, pairs: pairs.flood })
    await ask(calm, { do: 'come', port: broker.port, pairs: pairs.calm })
    const { perSecond: capacity } = await ask<{ perSecond: number }>(flood, { do: 'closed', depth: 32, seconds: seconds.closed })
    await wait(1000)
    const before = await rss(broker.pid)
    const half = { perSecond: capacity / 2, seconds: seconds.half }
    const [usual, usualCalm] = await Promise.all([
      ask<Phases>(flood, { do: 'open', phases: [half] }),
      ask<Phases>(calm, { do: 'open', phases: [{ perSecond: calmRate, seconds: seconds.half }] }),
    ])
    const over = { perSecond: 3 * capacity, seconds: seconds.flood }
    const { peak, result } = await peakOf(
      broker.pid,
      Promise.all([
        ask<Phases>(flood, { do: 'open', phases: [over, { ...half, seconds: seconds.after }] }),
        ask<Phases>(calm, {
          do: 'open',
          phases: [
            { perSecond: calmRate, seconds: seconds.flood },
            { perSecond: calmRate, seconds: seconds.after },
          ],
        }),
      ]),
    )
    const [[during, after], [calmDuring]] = result.map(({ phases }) => phases) as [[Seen, Seen], [Seen, Seen]]
    const found = rows({ capacity, usual: usual.phases[0] as Seen, during, after, usualCalm: usualCalm.phases[0] as Seen, calmDuring, before, peak })
    return { rows: found, capacity }
  } finally {
    await end(children)
  }
}

/** The same flood at a broker with its default rates, which refuse nearly all of it. */
async function withRates(postgres: PostgresServer, perSecond: number): Promise<Row[]> {
  await using broker = await brokerProcess({ STORE_URL: await postgresUrl(postgres.url) })
  const children = [0, 1].map(() => fork(new URL('overload/load.ts', import.meta.url)))
  const [flood, calm] = children as [ChildProcess, ChildProcess]
  try {
    await ask(flood, { do: 'come', port: broker.port, pairs: pairs.flood })
    await ask(calm, { do: 'come', port: broker.port, pairs: pairs.calm })
    const work = { perSecond: calmRate, seconds: seconds.half }
    const alone = await ask<Phases>(calm, { do: 'open', phases: [work] })
    const [during, beside] = await Promise.all([
      ask<Phases>(flood, { do: 'open', phases: [{ perSecond, seconds: seconds.half }] }),
      ask<Phases>(calm, { do: 'open', phases: [work] }),
    ])
    const [flooded, calmAlone, calmBeside] = [during, alone, beside].map(({ phases }) => phases[0]) as [Seen, Seen, Seen]
    return [
      ...Object.entries(flooded.refused).map(([code, n]) => row(`with rates: refused as ${code}`, n / seconds.half, '/s', flooded.sent / seconds.half)),
      row('with rates: p50 of another mesh, beside alone', calmBeside.p50, 'ms', calmAlone.p50, 10),
      row('with rates: p99 of another mesh, beside alone', calmBeside.p99, 'ms', calmAlone.p99, 10),
    ]
  } finally {
    await end(children)
  }
}

/** What three times too much does to one broker, with and without its rates. */
export async function overloadBench(): Promise<Row[]> {
  await using postgres = await startPostgres({ durable: true })
  const { rows, capacity } = await withoutRates(postgres)
  return [...rows, ...(await withRates(postgres, 3 * capacity))]
}

interface Found {
  readonly capacity: number
  readonly usual: Seen
  readonly during: Seen
  readonly after: Seen
  readonly usualCalm: Seen
  readonly calmDuring: Seen
  readonly before: number
  readonly peak: number
}

const row = (metric: string, value: number, unit: string, baseline?: number, most?: number): Row => ({
  bench: 'overload',
  metric,
  value,
  unit,
  ...(baseline === undefined ? {} : { baseline, ratio: value / baseline }),
  ...(most === undefined || baseline === undefined ? {} : { goal: `<= ${most} x`, met: value / baseline <= most }),
})

function rows({ capacity, usual, during, after, usualCalm, calmDuring, before, peak }: Found): Row[] {
  const refused = Object.entries(during.refused)
  const calmRefused = Object.values(calmDuring.refused).reduce((sum, n) => sum + n, 0)
  const recovery = backToNormal(after.windows, usual)
  return [
    row('capacity of one broker on PostgreSQL, closed loop', capacity, 'acks/s'),
    row('3 x that offered, open loop: acked', during.acked / seconds.flood, 'acks/s', capacity),
    ...refused.map(([code, n]) => row(`  refused as ${code}`, n / seconds.flood, '/s', during.sent / seconds.flood)),
    {
      ...row('  without an answer, or refused without retryAfter', during.unanswered + during.silent, 'messages'),
      goal: '0',
      met: during.unanswered + during.silent === 0,
    },
    row('p99 of what was admitted, beside half load', during.p99, 'ms', usual.p99, 10),
    row('another mesh meanwhile: p99, beside half load', calmDuring.p99, 'ms', usualCalm.p99, 10),
    { ...row('  its messages refused', calmRefused, 'messages'), goal: '0', met: calmRefused === 0 },
    { ...row('back to normal after the end', recovery / 1000, 's'), goal: '<= 5 s', met: recovery <= 5000 },
    row('peak memory, beside before', peak / MiB, 'MiB', before / MiB, 3),
  ]
}

if (process.argv[1] === new URL(import.meta.url).pathname) printRows(await overloadBench(), process.argv.includes('--json'))
