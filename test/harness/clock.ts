import type { Clock } from '@claudemesh/protocol'

/** Time that moves only when a test moves it. */
export class TestClock implements Clock {
  #now: number
  #next = 0
  readonly #tasks = new Map<number, { at: number; task: () => void }>()

  constructor(start = Date.UTC(2026, 0, 5, 9)) {
    this.#now = start
  }

  now(): number {
    return this.#now
  }

  after(ms: number, task: () => void): () => void {
    const id = ++this.#next
    this.#tasks.set(id, { at: this.#now + Math.max(0, ms), task })
    return () => this.#tasks.delete(id)
  }

  /** Moves time on and runs what falls due on the way, in order. */
  advance(ms: number): void {
    const end = this.#now + ms
    for (;;) {
      const [due] = [...this.#tasks].filter(([, { at }]) => at <= end).sort(([a, x], [b, y]) => x.at - y.at || a - b)
      if (!due) break
      this.#tasks.delete(due[0])
      this.#now = Math.max(this.#now, due[1].at)
      due[1].task()
    }
    this.#now = end
  }
}
