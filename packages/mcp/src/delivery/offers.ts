import type { ReceivedMessage } from '@claudemesh/client'
import type { MessageId, Priority } from '@claudemesh/protocol'
import { most } from './batch.ts'
import type { PathName } from './paths.ts'

/** How a message was put before the model: as a turn, or as context in the answer of a hook. */
export type Way = PathName | 'context'

/** Messages that went out together: some as a whole, of others the beginning. */
export interface Parts {
  readonly whole: readonly ReceivedMessage[]
  readonly cut: readonly ReceivedMessage[]
}

export interface Offer {
  readonly way: Way
  /** Of the turn as a whole: the highest of its messages. */
  readonly priority: Priority
  readonly whole: Map<MessageId, ReceivedMessage>
  readonly cut: Map<MessageId, ReceivedMessage>
  since: number
  /** How often the transcript said that it still waits inside Claude Code. */
  patience: number
}

const byId = (messages: readonly ReceivedMessage[]) => new Map(messages.map((message) => [message.id, message]))

/** The messages of an offer that nobody saw yet. */
export const idsOf = ({ whole, cut }: Offer): MessageId[] => [...whole.keys(), ...cut.keys()]

/** What was handed to the session and not yet seen there: each message in one offer at most. */
export class Offers {
  readonly #open = new Set<Offer>()

  add(way: Way, { whole, cut }: Parts, since: number): Offer {
    const offer = { way, priority: most([...whole, ...cut]), whole: byId(whole), cut: byId(cut), since, patience: 3 }
    if (whole.length + cut.length > 0) this.#open.add(offer)
    return offer
  }

  /** All of them, oldest first. */
  get all(): Offer[] {
    return [...this.#open]
  }

  /** Those that went as turns. */
  get turns(): Offer[] {
    return this.all.filter((offer) => offer.way !== 'context')
  }

  /** Those that went in the answer of a hook. */
  get contexts(): Offer[] {
    return this.all.filter((offer) => offer.way === 'context')
  }

  /** Takes messages out, seen or given up; only those that are in an offer are returned. */
  take(ids: Iterable<MessageId>): Parts {
    const whole: ReceivedMessage[] = []
    const cut: ReceivedMessage[] = []
    for (const id of ids) {
      for (const offer of this.#open) {
        for (const [part, taken] of [
          [offer.whole, whole],
          [offer.cut, cut],
        ] as const) {
          const message = part.get(id)
          if (!message) continue
          taken.push(message)
          part.delete(id)
        }
        if (offer.whole.size + offer.cut.size === 0) this.#open.delete(offer)
      }
    }
    return { whole, cut }
  }
}
