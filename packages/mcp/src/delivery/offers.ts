import type { ReceivedMessage } from '@claudemesh/client'
import type { MessageId, Priority } from '@claudemesh/protocol'
import { most } from './batch.ts'

/** How a message was put before the model: as a turn through the inbox socket, or as context in the answer of a hook. */
export type Path = 'socket' | 'context'

/** Messages that went out together. */
export interface Offer {
  readonly path: Path
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

  add(path: Path, messages: readonly ReceivedMessage[], since: number): Offer {
    const offer = { path, priority: most(messages), messages: new Map(messages.map((message) => [message.id, message])), since, patience: 3 }
    if (messages.length > 0) this.#open.add(offer)
    return offer
  }

  /** Those under way on this path, oldest first. */
  on(path: Path): Offer[] {
    return [...this.#open].filter((offer) => offer.path === path)
  }

  has(id: MessageId): boolean {
    return [...this.#open].some((offer) => offer.messages.has(id))
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
