import type { RecipientPubkey } from '@claudemesh/protocol'

/** Messages per incarnation and peer. */
export const perIncarnation = 2 ** 32
/** Above this a counter would no longer be an exact number. */
const maxIncarnation = 2 ** 21 - 1

/** Numbers the messages to each peer, without gaps. A process that takes over a session key passes a higher incarnation than the one before. */
export class SendCounters {
  readonly #start: number
  readonly #end: number
  readonly #next = new Map<RecipientPubkey, number>()

  /** `from`: how many messages this incarnation may have sent to anyone already. */
  constructor(incarnation = 0, from = 0) {
    if (!Number.isInteger(incarnation) || incarnation < 0 || incarnation > maxIncarnation) throw new RangeError(`incarnation is 0 to ${maxIncarnation}`)
    this.#start = incarnation * perIncarnation + from
    this.#end = (incarnation + 1) * perIncarnation
  }

  /** The number that `next` would give, not yet used up. */
  peek(peer: RecipientPubkey): number {
    const n = this.#next.get(peer) ?? this.#start
    if (n >= this.#end) throw new RangeError('this session has sent all the messages it can')
    return n
  }

  /** The next number for this peer; never the same twice. */
  next(peer: RecipientPubkey): number {
    const n = this.peek(peer)
    this.#next.set(peer, n + 1)
    return n
  }
}
