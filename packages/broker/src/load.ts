import { MeshError, type MeshId, type Priority } from '@claudemesh/protocol'
import type { Backlog } from './backlog.ts'

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

/** What may wait for its commit: as much as the store takes in `seconds`, within bounds; and hardly anything while it does not answer. */
const room = { seconds: 0.5, least: 256, most: 16_384, unknown: 4096, stalled: 64 } as const

const every = 100
const growth = 1.25
/** The lowest ceiling: messages of one mesh in a tenth of a second. */
const least = 4
const retryAfter = 1000

/** What a message that finds no room is told. */
export const overloaded = { code: 'overloaded', message: `the broker has more to do than it can: try again in ${retryAfter / 1000} s`, retryAfter } as const

/**
 * Decides which new messages are admitted. Of what waits for the store, a mesh may have as much as there is room left: one that floods finds none long before
 * the others do. While the loop is late or peers do not take what is theirs, no mesh may send more than a ceiling, which halves ten times a second and grows back
 * within seconds. Low messages have half the room, volatile ones half the ceiling. It looks only when somebody sends.
 */
export class Load {
  readonly #read: () => Readings
  readonly #backlog: Pick<Backlog, 'all' | 'of' | 'pace'>
  readonly #bounds: Readings
  #last = Number.NEGATIVE_INFINITY
  /** One bad reading may be a hiccup. */
  #bad = 0
  #stalled = false
  #ceiling = Number.POSITIVE_INFINITY
  #ceilingMet = false
  /** Messages admitted since the last look, by mesh. */
  readonly #admitted = new Map<MeshId, { count: number }>()
  #refused = 0
  #share = 1

  constructor(read: () => Readings, backlog: Pick<Backlog, 'all' | 'of' | 'pace'>, bounds: Readings = overload) {
    this.#read = read
    this.#backlog = backlog
    this.#bounds = bounds
  }

  /** The share of new messages that was admitted in the last tenth of a second of traffic. */
  share(now: number): number {
    return now - this.#last > 10 * every ? 1 : this.#share
  }

  /** Throws `overloaded` when this message is not to be taken now. */
  admit(mesh: MeshId, now: number, priority: Priority, isVolatile: boolean): void {
    if (!this.#fits(mesh, now, isVolatile, isVolatile || priority === 'low' ? 0.5 : 1)) {
      this.refused()
      throw new MeshError(overloaded.code, overloaded.message, { retryAfter })
    }
    const admitted = this.#admitted.get(mesh)
    if (admitted) admitted.count++
    else this.#admitted.set(mesh, { count: 1 })
  }

  /** True while so little is going on that nobody is refused; costs nothing to ask. */
  get easy(): boolean {
    return this.#ceiling === Number.POSITIVE_INFINITY && this.#backlog.all < room.stalled / 2
  }

  /** Whether no stored message of this mesh is to be taken now, whatever its priority. */
  full(mesh: MeshId, now: number): boolean {
    return !this.#fits(mesh, now, false, 1)
  }

  /** A message was refused because the mesh had no room. */
  refused(): void {
    this.#refused++
  }

  #fits(mesh: MeshId, now: number, isVolatile: boolean, part: number): boolean {
    if (now - this.#last >= every || now < this.#last) this.#look(now)
    if (this.#ceiling < Number.POSITIVE_INFINITY && (this.#admitted.get(mesh)?.count ?? 0) >= this.#ceiling * part) {
      this.#ceilingMet = true
      return false
    }
    return isVolatile || this.#backlog.of(mesh) < (this.#room() - this.#backlog.all) * part
  }

  #room(): number {
    if (this.#stalled) return room.stalled
    const { pace } = this.#backlog
    return pace === undefined ? room.unknown : Math.min(room.most, Math.max(room.least, pace * room.seconds))
  }

  #look(now: number): void {
    const looks = Math.min(32, Math.max(1, Math.floor((now - this.#last) / every)))
    this.#last = now
    const { lag, age, outbox } = this.#read()
    this.#stalled = age > this.#bounds.age
    const busiest = Math.max(0, ...[...this.#admitted.values()].map(({ count }) => count))
    // What the loop did while nobody sent says nothing about now.
    if ((looks <= 10 && lag > this.#bounds.lag) || outbox > this.#bounds.outbox) {
      this.#bad++
      if (this.#bad > 1) this.#ceiling = Math.max(least, Math.min(this.#ceiling, busiest) / 2)
    } else {
      this.#bad = 0
      this.#ceiling = this.#ceilingMet ? this.#ceiling * growth ** looks : Number.POSITIVE_INFINITY
    }
    this.#account()
  }

  #account(): void {
    let admitted = 0
    for (const { count } of this.#admitted.values()) admitted += count
    this.#share = admitted + this.#refused === 0 ? 1 : admitted / (admitted + this.#refused)
    this.#admitted.clear()
    this.#refused = 0
    this.#ceilingMet = false
  }
}
