import { spawn, type ChildProcess } from 'node:child_process'
import { Readable, Writable } from 'node:stream'
import { mkdirSync, mkdtempSync, realpathSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { systemClock } from '@claudemesh/protocol'
import type { Mesh } from '@claudemesh/client'
import { loadConfig } from '../../apps/cli/src/home/config.ts'
import { freshStore } from '../harness/fresh-store.ts'
import { run } from '../../apps/cli/src/run.ts'
import { pickMesh } from '../../apps/cli/src/home/meshes.ts'
import { connectMesh } from '../../apps/cli/src/session/connect.ts'

const cli = fileURLToPath(new URL('../../apps/cli/src/main.ts', import.meta.url))

export interface Ran {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly out: string
  readonly err: string
}

export interface RunOptions {
  readonly env?: Record<string, string | undefined>
  readonly input?: string
  /** Leaves stdin open for more. */
  readonly open?: boolean
  readonly cwd?: string
  /** Lets the process tell its parent how it goes. */
  readonly ipc?: boolean
  /** Milliseconds by which this machine's clock is ahead. */
  readonly ahead?: number
}

/** One user's home folder, in which real CLI processes run. Disposing ends what they left in the background. */
export class Machine implements AsyncDisposable {
  readonly folder = realpathSync(mkdtempSync(join(tmpdir(), 'claudemesh-cli-')))
  readonly home = join(this.folder, 'home')
  readonly project = join(this.folder, 'project')
  readonly #running = new Set<Running>()

  constructor() {
    mkdirSync(this.project)
  }

  /** A machine whose embedded broker runs in the background. */
  static async up(): Promise<Machine> {
    const machine = new Machine()
    await freshStore(join(machine.home, 'data'))
    await machine.json(['up', '--port', '0', '--detach'])
    return machine
  }

  /** Starts one command line as a process of its own. */
  start(args: readonly string[], options: RunOptions = {}): Running {
    const inherited = Object.entries(process.env).filter(([name]) => !/^(ANTHROPIC_|CLAUDE|INIT_CWD|npm_|VITEST|NODE_OPTIONS|FORCE_COLOR)/.test(name))
    const env = { ...Object.fromEntries(inherited), NO_COLOR: '1', CLAUDEMESH_HOME: this.home, ...options.env }
    const running = new Running(
      spawn(process.execPath, [cli, ...args], {
        cwd: options.cwd ?? this.project,
        env,
        stdio: ['pipe', 'pipe', 'pipe', ...(options.ipc ? ['ipc' as const] : [])],
      }),
    )
    if (!options.open) running.end(options.input)
    this.#running.add(running)
    return running
  }

  /** Runs one command line to its end, in this process. */
  async run(args: readonly string[], options: RunOptions = {}): Promise<Ran> {
    const stdout = new Sink()
    const stderr = new Sink()
    const { env = {}, cwd = this.project, input = '', ahead = 0 } = options
    const clock = { ...systemClock, now: () => systemClock.now() + ahead }
    const stdin = Readable.from([input])
    const place = { env: { PATH: process.env['PATH'], ...env }, cwd, home: this.home, node: process.execPath, script: cli, version: '0.1.0' }
    const code = await run({ ...place, clock, stdin, stdout, stderr, tellParent: () => {} }, args)
    return { code, signal: null, out: stdout.text, err: stderr.text }
  }

  /** What a command prints with --json; fails when it fails. */
  async json<T = Record<string, unknown>>(args: readonly string[], options: RunOptions = {}): Promise<T> {
    const ran = await this.run([...args, '--json'], options)
    if (ran.code !== 0) throw new Error(`claudemesh ${args.join(' ')} ended with ${ran.code}: ${ran.err}`)
    return JSON.parse(ran.out) as T
  }

  /** The refusal of a command with --json, and its exit code. */
  async refusal(args: readonly string[], options: RunOptions = {}): Promise<{ exit: number | null; code: string; message: string }> {
    const ran = await this.run([...args, '--json'], options)
    return { exit: ran.code, ...(JSON.parse(ran.err) as { error: { code: string; message: string } }).error }
  }

  /** A session of this user's own membership in this process. */
  async session(name: string, groups: string[] = []): Promise<Mesh & AsyncDisposable> {
    const entry = pickMesh(loadConfig(this.home), undefined)
    const mesh = await connectMesh({ home: this.home, clock: systemClock }, entry, { name, groups: groups.map((group) => ({ name: group })) })
    mesh[Symbol.asyncDispose] = () => mesh.close({ bye: true })
    return mesh
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.run(['down'])
    for (const running of this.#running) if (running.child.exitCode === null) await running.stop()
    rmSync(this.folder, { recursive: true, force: true })
  }
}

class Sink extends Writable {
  text = ''

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.text += chunk.toString()
    done()
  }
}

/** A CLI process and what it has printed so far. */
export class Running implements AsyncDisposable {
  out = ''
  err = ''
  readonly ended: Promise<Ran>
  readonly child: ChildProcess
  readonly #looks = new Set<() => void>()

  constructor(child: ChildProcess) {
    this.child = child
    child.stdin?.on('error', () => {})
    child.stdout?.on('data', (part: Buffer) => {
      this.out += part.toString()
      for (const look of this.#looks) look()
    })
    child.stderr?.on('data', (part: Buffer) => {
      this.err += part.toString()
      for (const look of this.#looks) look()
    })
    this.ended = new Promise((resolve) => child.on('close', (code, signal) => resolve({ code, signal, out: this.out, err: this.err })))
  }

  /** Resolves when what it printed matches; rejects when it ends without. */
  printed(pattern: RegExp): Promise<RegExpExecArray> {
    return new Promise((resolve, reject) => {
      const look = () => {
        const match = pattern.exec(this.out) ?? pattern.exec(this.err)
        if (!match) return
        this.#looks.delete(look)
        resolve(match)
      }
      this.#looks.add(look)
      look()
      void this.ended.then((ran) => reject(new Error(`ended with ${ran.code} before it printed ${pattern}: ${ran.out}${ran.err}`)))
    })
  }

  write(text: string): void {
    this.child.stdin?.write(text)
  }

  end(text = ''): void {
    this.child.stdin?.end(text)
  }

  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<Ran> {
    this.child.kill(signal)
    return this.ended
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }
}
