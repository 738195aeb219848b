import { join, resolve } from 'node:path'
import type { Context } from '../context.ts'
import { Failure } from '../failure.ts'
import { startDetached, type UpOptions, type UpReport } from '../local/detached.ts'
import { ensureLocalMesh } from '../local/local-mesh.ts'
import { announce, findRunning, type Running } from '../local/runfile.ts'
import { invocation } from '../invocation.ts'
import type { Output } from '../output.ts'
import { untilStopped } from '../until-stopped.ts'

export const defaultPort = 7717

/** Serves an embedded broker until stopped; when one of this user's already runs, reports it and returns at once. */
export async function up(context: Context, output: Output, options: UpOptions): Promise<void> {
  const running = findRunning(context.home)
  if (running) return report(context, output, await reportOf(context, agree(context, running, options)), 'already runs')
  if (options.detach) return report(context, output, await startDetached(context, options), 'runs in the background')
  await serve(context, output, options)
}

async function serve(context: Context, output: Output, options: UpOptions): Promise<void> {
  const data = dataFolder(context, options.data)
  // The broker and its store are heavy: a second `up` does without them.
  const { startEmbedded } = await import('../local/embedded.ts')
  await using broker = await startEmbedded({ port: options.port ?? defaultPort, data, clock: context.clock, version: context.version, metrics: true })
  using self = announce(context.home, { port: broker.port, url: broker.url, data, version: context.version })
  const ready = await reportOf(context, self)
  report(context, output, ready, 'serves until Ctrl-C')
  context.tellParent({ ready })
  await untilStopped()
}

/** The folder of the embedded store: `--data`, or beside the configuration. */
export function dataFolder(context: Context, data: string | undefined): string {
  return data === undefined ? join(context.home, 'data') : resolve(context.cwd, data)
}

/** The running broker, if it is the one that was asked for. */
function agree(context: Context, running: Running, options: UpOptions): Running {
  const conflict = options.port !== undefined && options.port !== 0 && options.port !== running.port
  if (conflict) throw new Failure('port_taken', `your broker already runs on port ${running.port}; stop it first: claudemesh down`)
  if (options.data !== undefined && dataFolder(context, options.data) !== running.data)
    throw new Failure('data_in_use', `your broker already runs on the data in ${running.data}; stop it first: claudemesh down`)
  return running
}

async function reportOf(context: Context, broker: Running): Promise<UpReport> {
  const { slug } = await ensureLocalMesh(context, broker)
  return { url: broker.url, port: broker.port, pid: broker.pid, data: broker.data, mesh: slug }
}

function report(context: Context, output: Output, ready: UpReport, state: string): void {
  const text = [
    `broker  ${output.style('bold', ready.url)}  (process ${ready.pid}, ${state})`,
    `data    ${ready.data}`,
    `mesh    ${ready.mesh}`,
    `next    ${invocation(context)} launch --name Alice`,
  ]
  output.result({ json: ready, text })
}
