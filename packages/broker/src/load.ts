import { MeshError, type Priority } from '@claudemesh/protocol'

/** What tells how far behind the broker is. */
export interface Readings {
  /** The longest delay of the event loop since the last reading, in milliseconds. */
  readonly lag: number
  /** How long the oldest message that is not committed has waited, in milliseconds. */
  readonly age: number
  /** Bytes that peers have not taken yet, over all connections. */
  readonly outbox: number
}

/** Beyond one of these, the broker is overloaded. */
const overload: Readings = { lag: 250, age: 1000, outbox: 512 * 1024 * 1024 }

const every = 100
const least = 1 / 32
const retryAfter = 1000

/**
 * Decides which new messages are admitted. While readings are beyond their bounds the admitted share halves ten times a second, then it grows back to all within
 * three seconds. Volatile and low messages are the first to be refused and the last to be admitted again. It looks only when somebody sends.
 */
export class Load {
  readonly #read: () => Readings
  readonly #bounds: Readings
  #share = 1
  #credit = 0
  #last = Number.NEGATIVE_INFINITY
  /** One bad reading may be a hiccup. */
  #bad = 0

  constructor(read: () => Readings, bounds: Readings = overload) {
    this.#read = read
    this.#bounds = bounds
  }

  /** The share of new messages that is admitted, from 1/32 to 1. */
  get share(): number {
    return this.#share
  }

  /** Throws `overloaded` when this message is not to be taken now. */
  admit(now: number, priority: Priority, isVolatile: boolean): void {
    if (now - this.#last >= every || now < this.#last) this.#look(now)
    if (this.#share === 1) return
    if (!isVolatile && priority !== 'low') {
      this.#credit += this.#share
      if (this.#credit >= 1) {
        this.#credit -= 1
        return
      }
    }
    throw new MeshError('overloaded', `the broker has more to do than it can: try again in ${retryAfter / 1000} s`, { retryAfter })
  }

  #look(now: number): void {
    const looks = Math.min(32, Math.max(1, Math.floor((now - this.#last) / every)))
    this.#last = now
    const { lag, age, outbox } = this.#read()
    // What the loop did while nobody sent says nothing about now.
    const late = looks <= 10 && lag > this.#bounds.lag
    if (late || age > this.#bounds.age || outbox > this.#bounds.outbox) {
      this.#bad++
      if (this.#bad > 1) this.#share = Math.max(least, this.#share / 2)
    } else {
      this.#bad = 0
      this.#share = Math.min(1, this.#share + looks / 32)
    }
  }
}
