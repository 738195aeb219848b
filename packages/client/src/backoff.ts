import type { Random } from '@claudemesh/crypto'

const first = 250
const longest = 30_000

/** Milliseconds before the given attempt (1, 2, …): doubling, half of it jitter, at most 30 s. */
export function backoff(attempt: number, random: Random): number {
  const [byte = 0] = random(1)
  const span = Math.min(longest, first * 2 ** Math.min(attempt - 1, 16))
  return Math.round(span / 2 + (span / 2) * (byte / 255))
}
