import type { SessionPubkey } from '@claudemesh/protocol'

/** Messages per incarnation and peer. */
export const perIncarnation = 2 ** 32
/** Above this a counter would no longer be an exact number. */
export const maxIncarnation = 2 ** 21 - 1

/** Numbers the messages to each peer, without gaps. A process that takes over a session key passes a higher incarnation than the one before. */
export class SendCounters {
  readonly #start: number
  readonly #next = new Map<SessionPubkey, number>()

  constructor(incarnation = 0) {
    if (!Number.isInteger(incarnation) || incarnation < 0 || incarnation > maxIncarnation) throw new RangeError(`incarnation is 0 to ${maxIncarnation}`)
    this.#start = incarnation * perIncarnation
  }

  /** The number that `next` would give, not yet used up. */
  peek(peer: SessionPubkey): number {
    const n = this.#next.get(peer) ?? this.#start
    if (n >= this.#start + perIncarnation) throw new RangeError('this session has sent all the messages it can')
    return n
  }

  /** The next number for this peer; never the same twice. */
  next(peer: SessionPubkey): number {
    const n = this.peek(peer)
    this.#next.set(peer, n + 1)
    return n
  }
}
