// What one broker core can relay, beside a plain `ws` relay, NATS and Redis in the same run. Load comes from a process of its own.
import { natsThere } from '../harness/nats.ts'
import { redisThere } from '../harness/redis.ts'
import type { Job } from './relay/load.ts'
import { byTurns, type Contender } from './relay/measure.ts'
import type { PubSubJob } from './relay/pubsub-load.ts'
import { natsServer, nodeServer, redisServer, type Server } from './relay/servers.ts'
import { ratioRow, type Row } from './table.ts'

interface Shape {
  readonly shape: 'pairs' | 'fanout'
  readonly size: number
  readonly depth: number
}

interface Baseline {
  readonly name: string
  readonly there: boolean
  readonly start: () => Promise<Server>
  readonly kind: PubSubJob['kind']
}

const others: readonly Baseline[] = [
  { name: 'NATS over WebSocket', there: natsThere, start: () => natsServer('websocket'), kind: 'nats-websocket' },
  { name: 'NATS', there: natsThere, start: () => natsServer('tcp'), kind: 'nats' },
  { name: 'Redis pub/sub', there: redisThere, start: redisServer, kind: 'redis' },
]

/** Who is on this machine; of the others it says so. */
function present(): Baseline[] {
  for (const { name, there } of others) if (!there) console.error(`no server for ${name} on this machine: its rows are left out`)
  return others.filter(({ there }) => there)
}

interface Print {
  readonly unit: string
  readonly rounds: number
  readonly goals: Readonly<Record<string, number>>
}

const relayGoals = { 'plain ws': 0.8, 'NATS over WebSocket': 0.5 }
const fanoutGoals = { 'NATS over WebSocket': 0.7 }

const plain = (): Promise<Server> => nodeServer('ceiling', true)
const broker = (): Promise<Server> => nodeServer('pglite:', true)

async function shaped(bench: string, metric: string, shape: Shape, { unit, rounds, goals }: Print): Promise<Row[]> {
  const job = { ...shape, durable: false } satisfies Omit<Job, 'port' | 'seconds' | 'plain'>
  const baselines = present()
  const [ours = 0, ...theirs] = await byTurns(
    [
      { start: broker, load: { by: 'load', job: { ...job, plain: false } }, rounds },
      { start: plain, load: { by: 'load', job: { ...job, plain: true } }, rounds },
      ...baselines.map(({ start, kind }): Contender => ({ start, load: { by: 'pubsub-load', job: { ...shape, kind } }, rounds: 1 })),
    ],
    2,
  )
  const names = ['plain ws', ...baselines.map(({ name }) => name)]
  return names.map((name, i) => ratioRow(bench, `${metric}, beside ${name}`, ours, theirs[i] ?? 0, unit, goals[name]))
}

/** Volatile messages between pairs: each authenticated, routed and acknowledged. */
export const relayBench = (): Promise<Row[]> =>
  shaped('relay', '50 pairs x 32', { shape: 'pairs', size: 50, depth: 32 }, { unit: 'msg/s of one core', rounds: 3, goals: relayGoals })

/** Volatile messages from one to many, with a wrap of the key for each; so many under way that NATS is near its best. */
export async function fanoutBench(): Promise<Row[]> {
  const print = { unit: 'deliveries/s of one core', goals: fanoutGoals }
  return [
    ...(await shaped('fanout', '1 to 100 x 32', { shape: 'fanout', size: 100, depth: 32 }, { ...print, rounds: 2 })),
    ...(await shaped('fanout', '1 to 1000 x 16', { shape: 'fanout', size: 1000, depth: 16 }, { ...print, rounds: 1 })),
  ]
}
