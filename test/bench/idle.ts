// What sessions that do nothing take of the broker's memory, beside bare `ws` connections.
import { postgresUrl, startPostgres } from '../harness/postgres.ts'
import { Child } from './relay/child.ts'
import type { Job } from './relay/load.ts'
import { nodeServer, type Memory } from './relay/servers.ts'
import type { Row } from './table.ts'

// The first ones also pay for code that is compiled once, whatever comes after.
const first = 1000
const size = 5000
const most = 3

/** By how much sessions that joined made the memory of a server grow. Before they came it had given back what was free. */
async function growth(store: string): Promise<Memory> {
  await using server = await nodeServer(store, false)
  await using loader = new Child(new URL('relay/load.ts', import.meta.url))
  const job: Job = { shape: 'idle', size, first, depth: 0, durable: false, plain: store === 'ceiling', port: server.port, seconds: 0 }
  await loader.ask(job)
  const before = await server.memory()
  await loader.ask('go on')
  const after = await server.memory()
  return { held: after.held - before.held, resident: after.resident - before.resident, taken: after.taken - before.resident }
}

/** Memory per idle session. */
export async function idleBench(): Promise<Row[]> {
  const plain = await growth('ceiling')
  // The embedded store would add its own memory to the broker's.
  await using postgres = await startPostgres()
  const broker = await growth(await postgresUrl(postgres.url))
  const row = (metric: string, of: keyof Memory): Row => {
    const [value, baseline] = [broker[of] / 1024 / size, plain[of] / 1024 / size]
    return { bench: 'idle', metric: `${metric}, ${size} in 50 meshes`, value, unit: 'KiB', baseline, ratio: value / baseline }
  }
  const judged = (one: Row): Row => ({ ...one, goal: `<= ${most} x`, met: (one.ratio ?? Infinity) <= most })
  return [
    judged(row('held per session', 'held')),
    judged(row('resident per session, once quiet', 'resident')),
    row('taken per session, right after they joined', 'taken'),
  ]
}
