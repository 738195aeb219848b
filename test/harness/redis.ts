import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { freePort } from './free-port.ts'
import { leash } from './leash.ts'

/** Whether this machine has a Redis server. */
export const redisThere = spawnSync('redis-server', ['--version']).status === 0

/** A Redis server of one's own, which keeps nothing. */
export class RedisServer implements AsyncDisposable {
  readonly port: number
  readonly #process: ChildProcess

  private constructor(port: number, process: ChildProcess) {
    this.port = port
    this.#process = process
  }

  /** `before` is a command that runs it, with its arguments. */
  static async start(before: readonly string[] = []): Promise<RedisServer> {
    const port = await freePort()
    const settings = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--client-output-buffer-limit', 'pubsub 0 0 0']
    const [command = '', ...args] = [...before, 'redis-server', ...settings]
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] })
    leash(child, { signal: 'KILL' })
    await new Promise<void>((resolve, reject) => {
      let said = ''
      child.stdout.on('data', (text: Buffer) => {
        said += text.toString()
        if (said.includes('Ready to accept connections')) resolve()
      })
      child.once('error', reject)
      child.once('exit', () => reject(new Error(`redis-server ended: ${said}`)))
    })
    return new RedisServer(port, child)
  }

  get pid(): number {
    return this.#process.pid ?? 0
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return
    const exit = once(this.#process, 'exit')
    this.#process.kill('SIGKILL')
    await exit
  }
}
