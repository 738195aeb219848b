/** A token bucket's measure: so many units per second, and so many at once after a pause. */
export interface Rate {
  readonly perSecond: number
  readonly burst: number
}

/** A token bucket that fills when it is looked at: it costs no timer. What is larger than the bucket passes when it is full, and leaves a debt. */
export class Bucket {
  readonly #rate: Rate
  #left: number
  #at: number
  #emptyUntil = 0

  constructor(rate: Rate, now: number) {
    this.#rate = rate
    this.#left = rate.burst
    this.#at = now
  }

  /** Milliseconds until so many units may pass; 0 when they may now. */
  wait(units: number, now: number): number {
    this.#fill(now)
    const lacking = Math.min(units, this.#rate.burst) - this.#left
    if (lacking <= 0) return 0
    const wait = Math.ceil((lacking / this.#rate.perSecond) * 1000)
    if (units <= 1) this.#emptyUntil = now + wait
    return wait
  }

  /** Milliseconds for which not even one unit will pass, as far as `wait` has shown: less to ask than to count again. */
  knownWait(now: number): number {
    return now >= this.#at && now < this.#emptyUntil ? this.#emptyUntil - now : 0
  }

  take(units: number): void {
    this.#left -= units
  }

  /** Whether nothing would be lost by forgetting it. */
  full(now: number): boolean {
    this.#fill(now)
    return this.#left >= this.#rate.burst
  }

  #fill(now: number): void {
    // A clock that was set back must not stop the filling.
    const passed = Math.max(0, now - this.#at)
    this.#at = now
    if (passed > 0) this.#left = Math.min(this.#rate.burst, this.#left + (passed * this.#rate.perSecond) / 1000)
  }
}
