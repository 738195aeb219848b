import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Context } from '../context.ts'
import { invocation } from '../invocation.ts'
import { startEmbedded } from '../local/embedded.ts'
import { ensureLocalMesh } from '../local/local-mesh.ts'
import { announce, findRunning } from '../local/runfile.ts'
import type { Output } from '../output.ts'
import { exchange, type Leg, type Tap } from '../tour/exchange.ts'
import { describeLeg, summary } from '../tour/words.ts'
import { untilStopped } from '../until-stopped.ts'
import { invite } from './invite.ts'
import { dataFolder, defaultPort } from './up.ts'

export interface TourFlags {
  readonly port?: number
  readonly data?: string
  readonly exit?: boolean
}

/**
 * Shows a direct, a group and a broadcast message on their way through a real broker, then serves until stopped. When this user's broker already runs,
 * the tour plays on one of its own, so that no session at work is disturbed, and ends.
 */
export async function tour(context: Context, output: Output, flags: TourFlags): Promise<void> {
  await using stack = new AsyncDisposableStack()
  const tap: Tap = {}
  const running = findRunning(context.home)
  const stage = running ? await playStage(context, tap, stack) : await homeStage(context, flags, tap, stack)
  const entry = await ensureLocalMesh(stage.context, stage)
  if (!output.json) output.line(...summary(output, stage.url, entry.slug, running?.url))
  const legs: Leg[] = []
  for await (const leg of exchange(stage.context, entry, tap)) {
    legs.push(leg)
    if (!output.json) output.line(...describeLeg(output, leg, legs.length))
  }
  const broker = running ?? stage
  const { slug } = await ensureLocalMesh(context, broker)
  await finish(context, output, { url: broker.url, port: broker.port, pid: broker.pid, mesh: slug, messages: legs })
  if (flags.exit || running) return
  if (!output.json) output.line('', output.style('dim', `serving on ${broker.url} until Ctrl-C`))
  await untilStopped()
}

async function homeStage(context: Context, flags: TourFlags, tap: Tap, stack: AsyncDisposableStack) {
  const data = dataFolder(context, flags.data)
  const broker = stack.use(await startEmbedded({ port: flags.port ?? defaultPort, data, clock: context.clock, tap: (frame) => (tap.newest = frame) }))
  return { ...stack.use(announce(context.home, { port: broker.port, url: broker.url, data })), context }
}

async function playStage(context: Context, tap: Tap, stack: AsyncDisposableStack) {
  const home = mkdtempSync(join(tmpdir(), 'claudemesh-tour-'))
  stack.defer(() => rmSync(home, { recursive: true, force: true }))
  const broker = stack.use(await startEmbedded({ port: 0, data: '', clock: context.clock, tap: (frame) => (tap.newest = frame) }))
  return { url: broker.url, port: broker.port, pid: process.pid, data: '', context: { ...context, home } }
}

interface Report {
  readonly url: string
  readonly port: number
  readonly pid: number
  readonly mesh: string
  readonly messages: readonly Leg[]
}

async function finish(context: Context, output: Output, report: Report): Promise<void> {
  const { json } = await invite(context, { mesh: report.mesh, max: 1, expires: 24 * 3_600_000, role: 'member' })
  const { command } = json as { command: string }
  const next = `${invocation(context)} launch --mesh ${report.mesh} --name Carol`
  if (output.json) return output.value({ ...report, invite: command, next })
  output.line('', `${output.style('bold', 'Invite somebody')}   ${command}`, `${output.style('bold', 'Start a session')}   ${next}`)
}
