import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Context } from '../context.ts'
import type { MeshEntry } from '../home/config.ts'
import { invocation } from '../invocation.ts'
import { startEmbedded } from '../local/embedded.ts'
import { ensureLocalMesh } from '../local/local-mesh.ts'
import { announce, findRunning, type Running } from '../local/runfile.ts'
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
  const running = findRunning(context.home)
  if (running) return tourAside(context, output, running)
  const tap: Tap = {}
  const data = dataFolder(context, flags.data)
  await using broker = await startEmbedded({ port: flags.port ?? defaultPort, data, clock: context.clock, tap: (frame) => (tap.newest = frame) })
  using self = announce(context.home, { port: broker.port, url: broker.url, data })
  const entry = await ensureLocalMesh(context, self)
  if (!output.json) output.line(...summary(output, self.url, entry.slug))
  const messages = await play(context, output, entry, tap)
  await finish(context, output, { url: self.url, port: self.port, pid: self.pid, mesh: entry.slug, messages })
  if (flags.exit) return
  if (!output.json) output.line('', output.style('dim', `serving on ${self.url} until Ctrl-C`))
  await untilStopped()
}

async function tourAside(context: Context, output: Output, running: Running): Promise<void> {
  const home = mkdtempSync(join(tmpdir(), 'claudemesh-tour-'))
  try {
    const tap: Tap = {}
    await using stage = await startEmbedded({ port: 0, data: '', clock: context.clock, tap: (frame) => (tap.newest = frame) })
    const aside = { ...context, home }
    const entry = await ensureLocalMesh(aside, { url: stage.url, data: '' })
    if (!output.json) output.line(...summary(output, stage.url, entry.slug, running.url))
    const messages = await play(aside, output, entry, tap)
    const { slug } = await ensureLocalMesh(context, running)
    await finish(context, output, { url: running.url, port: running.port, pid: running.pid, mesh: slug, messages })
  } finally {
    rmSync(home, { recursive: true, force: true })
  }
}

async function play(context: Context, output: Output, entry: MeshEntry, tap: Tap): Promise<Leg[]> {
  const legs: Leg[] = []
  for await (const leg of exchange(context, entry, tap)) {
    legs.push(leg)
    if (!output.json) output.line(...describeLeg(output, leg, legs.length))
  }
  return legs
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
