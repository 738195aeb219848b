import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { leash } from './leash.ts'

/** Whether this machine has a NATS server; where the checks run for everybody there must be one. */
export const natsThere = process.env['CI'] !== undefined || spawnSync('nats-server', ['--version']).status === 0

/** A NATS server of one's own on a free port, which can be stopped and started again there. */
export class NatsServer implements AsyncDisposable {
  readonly port: number
  #process: ChildProcess

  private constructor(port: number, process: ChildProcess) {
    this.port = port
    this.#process = process
  }

  static async start(): Promise<NatsServer> {
    const { child, port } = await launch(-1)
    return new NatsServer(port, child)
  }

  get url(): string {
    return `nats://127.0.0.1:${this.port}`
  }

  async stop(): Promise<void> {
    const exit = once(this.#process, 'exit')
    this.#process.kill('SIGKILL')
    await exit
  }

  async restart(): Promise<void> {
    this.#process = (await launch(this.port)).child
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#process.exitCode === null && this.#process.signalCode === null) await this.stop()
  }
}

async function launch(port: number): Promise<{ child: ChildProcess; port: number }> {
  const child = spawn('nats-server', ['-a', '127.0.0.1', '-p', String(port)], { stdio: ['ignore', 'ignore', 'pipe'] })
  leash(child, { signal: 'KILL' })
  const listening = await new Promise<number>((resolve, reject) => {
    let said = ''
    child.stderr?.on('data', (text: Buffer) => {
      said += text.toString()
      const place = /client connections on [^\s]*:(\d+)/.exec(said)
      if (place && said.includes('Server is ready')) resolve(Number(place[1]))
    })
    child.once('error', reject)
    child.once('exit', () => reject(new Error(`nats-server ended: ${said}`)))
  })
  return { child, port: listening }
}
