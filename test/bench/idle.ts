// What sessions that do nothing take of the broker's memory, beside bare `ws` connections.
import { postgresUrl, startPostgres } from '../harness/postgres.ts'
import { measure, type Figures, type Load } from './relay/measure.ts'
import { nodeServer } from './relay/servers.ts'
import type { Row } from './table.ts'

// The first ones also pay for code that is compiled once, whatever comes after.
const first = 100
const size = 5000
const most = 3

const load = (plain: boolean): Load => ({ by: 'load', job: { shape: 'idle', size, first, depth: 0, durable: false, plain } })

function row(metric: string, of: 'held' | 'resident', broker: Figures, plain: Figures): Row {
  const [value, baseline] = [broker[of] / 1024 / size, plain[of] / 1024 / size]
  const ratio = value / baseline
  return { bench: 'idle', metric: `${metric}, ${size} in 50 meshes`, value, unit: 'KiB', baseline, ratio, goal: `<= ${most} x`, met: ratio <= most }
}

/** Memory per idle session. */
export async function idleBench(): Promise<Row[]> {
  const plain = await measure(() => nodeServer('ceiling', true), load(true), 0)
  // The embedded store would add its own memory to the broker's.
  await using postgres = await startPostgres()
  const url = await postgresUrl(postgres.url)
  const broker = await measure(() => nodeServer(url, true), load(false), 0)
  return [row('held per session', 'held', broker, plain), row('resident per session', 'resident', broker, plain)]
}
