import type { Measured } from '../chaos/slot.ts'
import type { Tally } from './guest.ts'
import type { Stored } from './rows.ts'
import type { Counted } from './tally.ts'

/** How a run stood at one time: the guests' numbers are since its beginning, the load's since the last time. */
export interface Moment {
  /** Seconds since the beginning. */
  readonly at: number
  readonly sessions: number
  readonly guests: Tally
  readonly measured: Measured
  readonly stored: Stored
  readonly load?: Counted
}

const MB = 2 ** 20
export const inMB = (bytes: number) => (bytes / MB).toFixed(1)

export const shown = ({ rss, heapUsed, timers, sockets }: Measured) => `rss ${inMB(rss)} MB, heap ${inMB(heapUsed)} MB, ${timers} timers, ${sockets} sockets`

const counts = (all: Readonly<Record<string, number>>) => Object.entries(all).map(([name, n]) => `${n} ${name}`)

/** The load of some time in words. */
export function loadShown({ sent, acked, refused, left, replaced, p50, p99, longest }: Counted): string {
  const answers = [`${acked} acked`, ...counts(refused), ...(left > 0 ? [`${left} left out`] : [])]
  return `load: ${sent} sent, ${answers.join(', ')}, p50 ${p50} ms, p99 ${p99} ms, longest ${longest.toFixed(0)} ms, ${replaced} pairs replaced`
}

/** The lines of one moment. */
export function lines({ sessions, guests, measured, stored, load }: Moment): string[] {
  const { came, sent, shown: seen, refused } = guests
  return [
    `${sessions} sessions, ${came} came, ${sent} sent, ${seen} shown, ${refused} refused; ${shown(measured)}`,
    ...(load ? [loadShown(load)] : []),
    `store: ${stored.messages} messages, ${stored.deliveries} deliveries, ${stored.queued} of them queued, ${stored.presences} presences, ${inMB(stored.bytes)} MB`,
  ]
}

/** By how much the values grow from one to the next, as the line of least squares through them says. */
export function slopeOf(values: readonly number[]): number {
  const n = values.length
  if (n < 2) return 0
  const x = (n - 1) / 2
  const y = values.reduce((sum, value) => sum + value, 0) / n
  const above = values.reduce((sum, value, i) => sum + (i - x) * (value - y), 0)
  return above / values.reduce((sum, _, i) => sum + (i - x) ** 2, 0)
}
