/** What a load generator saw in some time. Times in milliseconds. */
export interface Counted {
  readonly sent: number
  readonly acked: number
  /** Refusals by their code. */
  readonly refused: Readonly<Record<string, number>>
  /** Sends that came due and were left out, because their generator was more than a second behind. */
  readonly left: number
  readonly replaced: number
  readonly p50: number
  readonly p99: number
  readonly longest: number
}

const perMs = 10
const slots = 10_000 * perMs

/** Counts sends and how long their acks took, to a tenth of a millisecond, in a memory that does not grow. */
export class LoadTally {
  #acks = new Uint32Array(slots)
  #acked = 0
  #longest = 0
  #refused: Record<string, number> = {}
  sent = 0
  left = 0
  replaced = 0

  acked(took: number): void {
    const slot = Math.min(slots - 1, Math.floor(took * perMs))
    this.#acks[slot] = (this.#acks[slot] ?? 0) + 1
    this.#acked++
    this.#longest = Math.max(this.#longest, took)
  }

  refused(code: string): void {
    this.#refused[code] = (this.#refused[code] ?? 0) + 1
  }

  /** All since the last time. */
  take(): Counted {
    const { sent, left, replaced } = this
    const counted = { sent, acked: this.#acked, refused: this.#refused, left, replaced, p50: this.#part(0.5), p99: this.#part(0.99), longest: this.#longest }
    this.#acks.fill(0)
    this.#acked = this.#longest = this.sent = this.left = this.replaced = 0
    this.#refused = {}
    return counted
  }

  #part(share: number): number {
    let before = Math.floor(this.#acked * share)
    for (const [slot, count] of this.#acks.entries()) {
      if (count > before) return slot / perMs
      before -= count
    }
    return 0
  }
}
