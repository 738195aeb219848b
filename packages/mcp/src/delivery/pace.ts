import type { Clock } from '@claudemesh/protocol'

const burst = 8
/** Urgent turns may go this far below empty. */
const reserve = 8
const refillMs = 2000

/** Keeps well below the limit at which Claude Code silently drops turns: 30 at once, then one in two seconds. */
export class Pace {
  readonly #clock: Clock
  #tokens = burst
  #since: number

  constructor(clock: Clock) {
    this.#clock = clock
    this.#since = clock.now()
  }

  /** Milliseconds until a turn may be posted; 0 for now. */
  wait(urgent: boolean): number {
    this.#refill()
    const short = 1 - (urgent ? reserve : 0) - this.#tokens
    return short <= 0 ? 0 : Math.ceil(short * refillMs)
  }

  spend(): void {
    this.#refill()
    this.#tokens--
  }

  #refill(): void {
    const now = this.#clock.now()
    // A clock that was set back must not make everything wait.
    this.#tokens = Math.min(burst, this.#tokens + Math.max(0, now - this.#since) / refillMs)
    this.#since = now
  }
}
