import { MeshError, type SessionPubkey } from '@claudemesh/protocol'
import { perIncarnation } from './counters.ts'

const width = 1024
const words = width / 32

interface Window {
  /** First counter of the sender's present incarnation, or the first seen where earlier ones are not known to be missing. */
  start: number
  highest: number
  /** Ring of seen bits for the counters (highest − width, highest]. */
  readonly seen: Uint32Array
}

/** Which counters of each sending session were received, 1024 deep. A higher incarnation starts afresh, a lower one is refused. */
export class ReplayWindows {
  readonly #windows = new Map<SessionPubkey, Window>()
  readonly #fromStart: boolean

  /** `resumed`: this process took over a session key, so that counters below the first one seen are not reported as gaps. */
  constructor(o: { resumed?: boolean } = {}) {
    this.#fromStart = !o.resumed
  }

  /** Throws `replayed` when this counter was received before or is too old to tell. */
  check(sender: SessionPubkey, counter: number): void {
    const window = this.#windows.get(sender)
    if (!window || counter > window.highest) return
    if (incarnationOf(counter) < incarnationOf(window.highest)) throw new MeshError('replayed', 'the message is of an earlier life of its sender')
    if (counter <= window.highest - width) throw new MeshError('replayed', 'the message is older than the replay window')
    if (hasSeen(window, counter)) throw new MeshError('replayed', 'the message was already received')
  }

  /** Checks, then records the counter. Call it only when everything else about the message was right. Throws `replayed`. */
  accept(sender: SessionPubkey, counter: number): void {
    this.check(sender, counter)
    const window = this.#windows.get(sender)
    if (window && incarnationOf(window.highest) === incarnationOf(counter)) advance(window, counter)
    else this.#windows.set(sender, open(counter, this.#fromStart || window !== undefined))
  }

  /** Counters of the sender's present incarnation that are missing below the highest received, at most 1023, oldest first. */
  gaps(sender: SessionPubkey): number[] {
    const window = this.#windows.get(sender)
    if (!window) return []
    const missing: number[] = []
    for (let n = Math.max(window.start, window.highest - width + 1); n < window.highest; n++) if (!hasSeen(window, n)) missing.push(n)
    return missing
  }

  /** Forgets a sender. Safe only when its certificate has ended, or an old message of it could be replayed. */
  forget(sender: SessionPubkey): void {
    this.#windows.delete(sender)
  }
}

function open(counter: number, fromStart: boolean): Window {
  const window = { start: fromStart ? incarnationOf(counter) * perIncarnation : counter, highest: counter, seen: new Uint32Array(words) }
  mark(window, counter)
  return window
}

const incarnationOf = (counter: number) => Math.floor(counter / perIncarnation)
const bitOf = (counter: number) => 1 << (counter % 32)
const wordOf = (counter: number) => Math.floor((counter % width) / 32)

const hasSeen = (window: Window, counter: number) => ((window.seen[wordOf(counter)] ?? 0) & bitOf(counter)) !== 0

function mark(window: Window, counter: number): void {
  window.seen[wordOf(counter)]! |= bitOf(counter)
}

function advance(window: Window, counter: number): void {
  // The ring's cells that the window moves onto still tell of counters a full width below.
  if (counter - window.highest >= width) window.seen.fill(0)
  else for (let n = window.highest + 1; n <= counter; n++) window.seen[wordOf(n)]! &= ~bitOf(n)
  window.highest = Math.max(window.highest, counter)
  mark(window, counter)
}
