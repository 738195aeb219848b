import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import { setTimeout as wait } from 'node:timers/promises'

/** What a broker process uses, in bytes and numbers. */
export interface Measured {
  readonly rss: number
  readonly heapUsed: number
  readonly timers: number
  readonly sockets: number
}

/** A place for one broker process, which dies and is started anew. */
export class Slot implements AsyncDisposable {
  readonly #args: readonly string[]
  readonly #log: string
  readonly #changed: () => void
  #child: ChildProcess | undefined
  /** Where it listens, while it does. */
  port: number | undefined
  /** How often a process ended that nobody had ended. */
  crashes = 0

  constructor(args: readonly string[], log: string, changed: () => void) {
    this.#args = args
    this.#log = log
    this.#changed = changed
  }

  /** Starts a process, again and again until one serves: what it needs may be down. */
  async start(): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      this.port = await this.#try()
      if (this.port !== undefined) break
      if (attempt === 100) throw new Error(`no broker serves, see ${this.#log}`)
      await wait(200)
    }
    this.#changed()
    this.#child?.once('exit', () => void this.#crashed())
  }

  /** As what keeps services running does, it starts another one. */
  async #crashed(): Promise<void> {
    if (this.port === undefined) return
    this.crashes++
    this.port = undefined
    this.#changed()
    await this.start()
  }

  async end(signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    this.port = undefined
    this.#changed()
    const child = this.#child
    if (!child || child.exitCode !== null || child.signalCode !== null) return
    const exit = once(child, 'exit')
    child.kill(signal)
    await exit
  }

  /** What its consistency check finds. */
  async check(): Promise<string[]> {
    return ((await this.#ask('check')) as { found: string[] }).found
  }

  async measure(): Promise<Measured> {
    return ((await this.#ask('measure')) as { measured: Measured }).measured
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end('SIGKILL')
  }

  async #ask(wish: 'check' | 'measure'): Promise<unknown> {
    const child = this.#child
    if (!child) throw new Error('no broker runs here')
    const answer = once(child, 'message')
    child.send(wish)
    return ((await answer) as unknown[])[0]
  }

  async #try(): Promise<number | undefined> {
    const out = openSync(this.#log, 'a')
    const child = fork(new URL('node.ts', import.meta.url), [...this.#args], { stdio: ['ignore', out, out, 'ipc'], execArgv: ['--expose-gc'] })
    closeSync(out)
    this.#child = child
    const exit = once(child, 'exit')
    const said = await Promise.race([once(child, 'message'), exit])
    const [first] = said as [{ port?: number } | number | null]
    return typeof first === 'object' ? first?.port : undefined
  }
}
