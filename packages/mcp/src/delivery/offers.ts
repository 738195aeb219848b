import type { ReceivedMessage } from '@claudemesh/client'
import type { MessageId, Priority } from '@claudemesh/protocol'
import { most } from './batch.ts'
import type { PathName } from './paths.ts'

/** How a message was put before the model: as a turn, or as context in the answer of a hook. */
export type Way = PathName | 'context'

/** Messages that went out together. */
export interface Offer {
  readonly way: Way
  /** Of the turn as a whole: the highest of its messages. */
  readonly priority: Priority
  readonly messages: Map<MessageId, ReceivedMessage>
  since: number
  /** How often the transcript said that it still waits inside Claude Code. */
  patience: number
}

/** What was handed to the session and not yet seen there: each message in one offer at most. */
export class Offers {
  readonly #open = new Set<Offer>()

  add(way: Way, messages: readonly ReceivedMessage[], since: number): Offer {
    const offer = { way, priority: most(messages), messages: new Map(messages.map((message) => [message.id, message])), since, patience: 3 }
    if (messages.length > 0) this.#open.add(offer)
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
  take(ids: Iterable<MessageId>): ReceivedMessage[] {
    const taken: ReceivedMessage[] = []
    for (const id of ids) {
      for (const offer of this.#open) {
        const message = offer.messages.get(id)
        if (!message) continue
        taken.push(message)
        offer.messages.delete(id)
        if (offer.messages.size === 0) this.#open.delete(offer)
      }
    }
    return taken
  }
}
