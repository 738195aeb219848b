// What a session that does nothing takes of the broker's memory, beside a bare `ws` connection.
import { postgresUrl, startPostgres } from '../harness/postgres.ts'
import { measure, type Figures, type Load } from './relay/measure.ts'
import { nodeServer } from './relay/servers.ts'
import type { Row } from './table.ts'

const size = 5000
const most = 3

const load = (plain: boolean): Load => ({ by: 'load', job: { shape: 'idle', size, depth: 0, durable: false, plain } })

const perSession = (figures: Figures): number => (figures.rss - figures.rssBefore) / 1024 / size

/** Memory per idle session. */
export async function idleBench(): Promise<Row[]> {
  const baseline = perSession(await measure(() => nodeServer('ceiling', true), load(true), 0))
  // The embedded store would add its own memory to the broker's.
  await using postgres = await startPostgres()
  const url = await postgresUrl(postgres.url)
  const value = perSession(await measure(() => nodeServer(url, true), load(false), 0))
  const ratio = value / baseline
  return [{ bench: 'idle', metric: `memory per session, ${size} in 50 meshes`, value, unit: 'KiB', baseline, ratio, goal: `<= ${most} x`, met: ratio <= most }]
}
