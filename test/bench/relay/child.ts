import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'

/** A process of the bench: its messages in order, none lost, and an error instead of a wait when it ends. */
export class Child implements AsyncDisposable {
  readonly #process: ChildProcess
  readonly #messages: unknown[] = []
  #wake: () => void = () => {}

  constructor(file: URL, args: readonly string[] = [], execArgv: readonly string[] = []) {
    this.#process = fork(file, [...args], { execArgv: [...execArgv] })
    this.#process.on('message', (message) => {
      this.#messages.push(message)
      this.#wake()
    })
    this.#process.on('exit', () => this.#wake())
  }

  get pid(): number {
    return this.#process.pid ?? 0
  }

  async next<T>(): Promise<T> {
    while (this.#messages.length === 0) {
      if (this.#process.exitCode !== null || this.#process.signalCode !== null) throw new Error('a process of the bench ended early')
      await new Promise<void>((resolve) => (this.#wake = resolve))
    }
    return this.#messages.shift() as T
  }

  tell(word: string): void {
    this.#process.send(word)
  }

  async ask<T>(question: object | string): Promise<T> {
    this.#process.send(question)
    return this.next()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#process.kill('SIGKILL')
    if (this.#process.exitCode === null && this.#process.signalCode === null) await once(this.#process, 'exit')
  }
}
