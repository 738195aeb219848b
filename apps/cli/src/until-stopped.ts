const signals = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGPIPE'] as const

/** Listens for the first Ctrl-C, SIGTERM, hang-up or reader who has gone, and keeps the process alive until it is disposed of; a second signal ends the process the hard way. */
export class StopSignal implements Disposable {
  readonly #alive = setInterval(() => {}, 1 << 30)
  readonly #listener: (signal: NodeJS.Signals) => void
  /** Resolves at the signal. */
  readonly stopped: Promise<NodeJS.Signals>

  constructor() {
    let stop: (signal: NodeJS.Signals) => void = () => {}
    this.stopped = new Promise((resolve) => (stop = resolve))
    this.#listener = (signal) => {
      this[Symbol.dispose]()
      stop(signal)
    }
    for (const signal of signals) process.once(signal, this.#listener)
  }

  [Symbol.dispose](): void {
    clearInterval(this.#alive)
    for (const signal of signals) process.off(signal, this.#listener)
  }
}

/** Resolves when the user or the system asks this process to stop. */
export async function untilStopped(): Promise<NodeJS.Signals> {
  using signal = new StopSignal()
  return await signal.stopped
}
