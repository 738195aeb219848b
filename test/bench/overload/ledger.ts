import { percentile } from '../table.ts'

/** What came of the messages of one phase. Times in milliseconds. */
export interface Seen {
  readonly sent: number
  readonly acked: number
  readonly p50: number
  readonly p99: number
  /** Refusals by their code. */
  readonly refused: Readonly<Record<string, number>>
  /** Refusals that did not say when to try again. */
  readonly silent: number
  readonly unanswered: number
  /** By a quarter of a second in which they were sent. */
  readonly windows: readonly Window[]
}

export interface Window {
  /** When it ended, from the beginning of its phase. */
  readonly until: number
  readonly refused: number
  readonly unanswered: number
  readonly p90: number
}

interface Phase {
  readonly perSecond: number
  readonly seconds: number
}

const windowSize = 250

/** When each message was sent and answered, and how. */
export class Ledger {
  readonly #phases: readonly { readonly from: number; readonly to: number; readonly perSecond: number }[]
  readonly #sentAt: number[] = []
  readonly #took: (number | undefined)[] = []
  readonly #codes: (string | undefined)[] = []
  readonly #silent = new Set<number>()
  #began = 0
  #open = 0
  #allAnswered = () => {}

  constructor(phases: readonly Phase[]) {
    let from = 0
    this.#phases = phases.map(({ perSecond, seconds }) => ({ from, to: (from += seconds * 1000), perSecond }))
  }

  begin(now: number): void {
    this.#began = now
  }

  /** How many should have been sent by now, and were not. */
  due(now: number): number {
    const passed = now - this.#began
    const planned = this.#phases.reduce((sum, { from, to, perSecond }) => sum + (Math.max(0, Math.min(passed, to) - from) * perSecond) / 1000, 0)
    return Math.floor(planned) - this.#sentAt.length
  }

  over(now: number): boolean {
    return now - this.#began >= (this.#phases.at(-1)?.to ?? 0)
  }

  sent(n: number, now: number): void {
    this.#sentAt[n] = now - this.#began
    this.#open++
  }

  answered(n: number, now: number, code?: string, retryAfter?: number): void {
    if (this.#took[n] !== undefined) return
    this.#took[n] = now - this.#began - (this.#sentAt[n] ?? 0)
    this.#codes[n] = code
    if (code !== undefined && retryAfter === undefined) this.#silent.add(n)
    if (--this.#open === 0) this.#allAnswered()
  }

  /** Calls back once nothing is without an answer. */
  whenAnswered(then: () => void): void {
    this.#allAnswered = then
    if (this.#open === 0) then()
  }

  seen(): Seen[] {
    return this.#phases.map(({ from, to }) => {
      const all = [...this.#sentAt.keys()].filter((n) => this.#within(n, from, to))
      const windows = Array.from({ length: (to - from) / windowSize }, (_, i): Window => {
        const start = from + i * windowSize
        const part = all.filter((n) => this.#within(n, start, start + windowSize))
        const { refused, unanswered, acks } = this.#sorted(part)
        return { until: (i + 1) * windowSize, refused: refused.length, unanswered, p90: percentile(acks, 0.9) }
      })
      const { refused, unanswered, acks } = this.#sorted(all)
      const codes = Object.groupBy(refused, (n) => this.#codes[n] ?? '')
      return {
        sent: all.length,
        acked: acks.length,
        p50: percentile(acks, 0.5),
        p99: percentile(acks, 0.99),
        refused: Object.fromEntries(Object.entries(codes).map(([code, list]) => [code, list?.length ?? 0])),
        silent: refused.filter((n) => this.#silent.has(n)).length,
        unanswered,
        windows,
      }
    })
  }

  #within(n: number, from: number, to: number): boolean {
    const at = this.#sentAt[n] ?? -1
    return at >= from && at < to
  }

  #sorted(all: readonly number[]) {
    const refused = all.filter((n) => this.#codes[n] !== undefined)
    const acks = all.flatMap((n) => (this.#codes[n] === undefined ? (this.#took[n] ?? []) : []))
    return { refused, acks, unanswered: all.length - refused.length - acks.length }
  }
}
