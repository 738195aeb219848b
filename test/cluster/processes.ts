import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { leash } from '../harness/leash.ts'

/** A broker as it is run: a process of its own. */
export interface BrokerProcess extends AsyncDisposable {
  readonly port: number
  /** Its exit code once it has ended, null after a kill. */
  readonly ended: Promise<number | null>
  readonly pid: number
  /** Ends it; resolves with its exit code, or null after a kill. */
  end(signal: 'SIGTERM' | 'SIGKILL'): Promise<number | null>
}

const main = fileURLToPath(new URL('../../apps/broker/src/main.ts', import.meta.url))

export async function brokerProcess(env: Readonly<Record<string, string>>): Promise<BrokerProcess> {
  const child = spawn(process.execPath, [main], {
    env: { PATH: process.env['PATH'], PORT: '0', HOST: '127.0.0.1', ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const ended = once(child, 'exit').then(() => child.exitCode)
  leash(child, { signal: 'KILL' })
  const port = await serving(child)
  const end = async (signal: 'SIGTERM' | 'SIGKILL') => {
    if (child.exitCode === null && child.signalCode === null) {
      const exit = once(child, 'exit')
      child.kill(signal)
      await exit
    }
    return child.exitCode
  }
  return { port, ended, pid: child.pid as number, end, [Symbol.asyncDispose]: async () => void (await end('SIGKILL')) }
}

async function serving(child: ChildProcess): Promise<number> {
  if (!child.stdout) throw new Error('the broker has no stdout')
  const lines = createInterface({ input: child.stdout })
  return new Promise((resolve, reject) => {
    lines.on('line', (line) => {
      const entry = JSON.parse(line) as { event: string; port?: number }
      if (entry.event === 'serving' && entry.port !== undefined) resolve(entry.port)
    })
    child.once('exit', (code) => reject(new Error(`the broker ended with ${code}`)))
  })
}
