import type { Context } from '../context.ts'
import { loadConfig, type MeshEntry } from '../home/config.ts'
import { pickMesh } from '../home/meshes.ts'
import { invocation } from '../invocation.ts'
import { startEmbedded } from '../local/embedded.ts'
import { ensureLocalMesh } from '../local/local-mesh.ts'
import { announce, findRunning, type Running } from '../local/runfile.ts'
import type { Output } from '../output.ts'
import { exchange, type Leg } from '../tour/exchange.ts'
import { describeLeg, summary } from '../tour/words.ts'
import { untilStopped } from '../until-stopped.ts'
import { invite } from './invite.ts'
import { dataFolder, defaultPort } from './up.ts'

export interface TourFlags {
  readonly port?: number
  readonly data?: string
  readonly exit?: boolean
}

/** Shows a direct, a group and a broadcast message on their way through a real broker, then serves until stopped. A broker that already runs is used. */
export async function tour(context: Context, output: Output, flags: TourFlags): Promise<void> {
  await using stack = new AsyncDisposableStack()
  const running = findRunning(context.home)
  const broker = running ?? (await start(context, flags, stack))
  const entry = await ensureLocalMesh(context, broker)
  if (!output.json) output.line(...summary(output, broker, entry, running !== undefined))
  const legs: Leg[] = []
  for await (const leg of exchange(context, entry)) {
    legs.push(leg)
    if (!output.json) output.line(...describeLeg(output, leg, legs.length))
  }
  await finish(context, output, { broker, entry, legs })
  if (flags.exit || running) return
  if (!output.json) output.line('', output.style('dim', `serving on ${broker.url} until Ctrl-C`))
  await untilStopped()
}

async function start(context: Context, flags: TourFlags, stack: AsyncDisposableStack): Promise<Omit<Running, 'mark'>> {
  const data = dataFolder(context, flags.data)
  const broker = stack.use(await startEmbedded({ port: flags.port ?? defaultPort, data, clock: context.clock }))
  return stack.use(announce(context.home, { port: broker.port, url: broker.url, data }))
}

async function finish(context: Context, output: Output, done: { broker: Omit<Running, 'mark'>; entry: MeshEntry; legs: readonly Leg[] }): Promise<void> {
  const { slug } = pickMesh(loadConfig(context.home), done.entry.slug)
  const { json } = await invite(context, { mesh: slug, max: 1, expires: 24 * 3_600_000, role: 'member' })
  const { command } = json as { command: string }
  const next = `${invocation(context)} launch --mesh ${slug} --name Carol`
  if (output.json)
    return output.value({ url: done.broker.url, port: done.broker.port, pid: done.broker.pid, mesh: slug, messages: done.legs, invite: command, next })
  output.line('', `${output.style('bold', 'Invite somebody')}   ${command}`, `${output.style('bold', 'Start a session')}   ${next}`)
}
