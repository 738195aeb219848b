/** Collects what one turn of the event loop wants done at its end, once each, in two steps: telling peers first, then writing to sockets. */
export class Turn {
  readonly #roster = new Set<() => void>()
  #flushes: (() => void)[] = []
  #scheduled = false
  #number = 0

  /** Another one in each turn of the event loop. */
  get number(): number {
    this.#schedule()
    return this.#number
  }

  /** Runs `task` before this turn's writes; adding the same function again does nothing. */
  beforeWrites(task: () => void): void {
    this.#roster.add(task)
    this.#schedule()
  }

  /** Runs `flush` at the end of this turn. */
  atEnd(flush: () => void): void {
    this.#flushes.push(flush)
    this.#schedule()
  }

  #schedule(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    setImmediate(() => this.#run())
  }

  #run(): void {
    this.#scheduled = false
    this.#number++
    const roster = [...this.#roster]
    this.#roster.clear()
    for (const task of roster) task()
    const flushes = this.#flushes
    this.#flushes = []
    for (const flush of flushes) flush()
  }
}
