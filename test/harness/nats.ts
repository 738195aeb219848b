import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { leash } from './leash.ts'

/** Whether this machine has a NATS server; where the checks run for everybody there must be one. */
export const natsThere = process.env['CI'] !== undefined || spawnSync('nats-server', ['--version']).status === 0

interface NatsOptions {
  /** A command that runs it, with its arguments. */
  readonly before?: readonly string[]
  /** Whether it listens for WebSocket too. */
  readonly webSocket?: boolean
}

interface Ports {
  readonly port: number
  readonly webSocketPort: number
}

/** A NATS server of one's own on a free port, which can be stopped and started again there. */
export class NatsServer implements AsyncDisposable {
  readonly port: number
  /** 0 without a WebSocket listener. */
  readonly webSocketPort: number
  readonly #options: NatsOptions
  #process: ChildProcess

  private constructor({ port, webSocketPort }: Ports, options: NatsOptions, process: ChildProcess) {
    this.port = port
    this.webSocketPort = webSocketPort
    this.#options = options
    this.#process = process
  }

  static async start(options: NatsOptions = {}): Promise<NatsServer> {
    const { child, ports } = await launch({ port: -1, webSocketPort: -1 }, options)
    return new NatsServer(ports, options, child)
  }

  get url(): string {
    return `nats://127.0.0.1:${this.port}`
  }

  get pid(): number {
    return this.#process.pid ?? 0
  }

  async stop(): Promise<void> {
    const exit = once(this.#process, 'exit')
    this.#process.kill('SIGKILL')
    await exit
  }

  async restart(): Promise<void> {
    this.#process = (await launch(this, this.#options)).child
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#process.exitCode === null && this.#process.signalCode === null) await this.stop()
  }
}

async function launch({ port, webSocketPort }: Ports, { before = [], webSocket = false }: NatsOptions): Promise<{ child: ChildProcess; ports: Ports }> {
  const home = webSocket ? mkdtempSync(join(tmpdir(), 'claudemesh-nats-')) : undefined
  // Its command line knows no WebSocket.
  const config = home === undefined ? [] : ['-c', join(home, 'nats.conf')]
  if (config[1] !== undefined) writeFileSync(config[1], `websocket { host: "127.0.0.1", port: ${webSocketPort}, no_tls: true }`)
  const [command = '', ...args] = [...before, 'nats-server', '-a', '127.0.0.1', '-p', String(port), ...config]
  const child = spawn(command, args, { stdio: ['ignore', 'ignore', 'pipe'] })
  leash(child, { signal: 'KILL' })
  try {
    const said = await ready(child)
    return { child, ports: { port: portIn(said, 'client'), webSocketPort: webSocket ? portIn(said, 'websocket') : 0 } }
  } finally {
    if (home !== undefined) rmSync(home, { recursive: true, force: true })
  }
}

function ready(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    let said = ''
    child.stderr?.on('data', (text: Buffer) => {
      said += text.toString()
      if (said.includes('Server is ready')) resolve(said)
    })
    child.once('error', reject)
    child.once('exit', () => reject(new Error(`nats-server ended: ${said}`)))
  })
}

function portIn(said: string, kind: 'client' | 'websocket'): number {
  const place = kind === 'client' ? /client connections on [^\s]*:(\d+)/ : /websocket clients on [^\s]*:(\d+)/
  return Number(place.exec(said)?.[1])
}
