import type { Clock } from '@claudemesh/protocol'
import type { TestClock } from './clock.ts'

/** The clock of one machine, off from the others' by as much as a test says, while all go on at the same pace. */
export class OffClock implements Clock {
  readonly #true: TestClock
  off = 0

  constructor(clock: TestClock) {
    this.#true = clock
  }

  now(): number {
    return this.#true.now() + this.off
  }

  after(ms: number, task: () => void): () => void {
    return this.#true.after(ms, task)
  }
}
