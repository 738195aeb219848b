import type { MessageId } from '@claudemesh/protocol'
import type { ReceivedMessage } from './types.ts'

/** Received messages that nobody took yet, oldest first. */
export class Inbox {
  readonly #waiting = new Map<MessageId, ReceivedMessage>()
  readonly #taken: () => void
  readonly #isMoot: (message: ReceivedMessage) => boolean

  /** `isMoot`: whether somebody else has shown the message meanwhile; such a one leaves when the others are looked at. */
  constructor(taken: () => void = () => {}, isMoot: (message: ReceivedMessage) => boolean = () => false) {
    this.#taken = taken
    this.#isMoot = isMoot
  }

  get size(): number {
    return this.#waiting.size
  }

  add(message: ReceivedMessage): void {
    this.#waiting.set(message.id, message)
  }

  /** The waiting messages, or the first `max` of them, left where they are. */
  peek(max = Number.POSITIVE_INFINITY): ReceivedMessage[] {
    const first: ReceivedMessage[] = []
    for (const message of this.#waiting.values()) {
      if (first.length >= max) break
      if (this.#isMoot(message)) this.#waiting.delete(message.id)
      else first.push(message)
    }
    return first
  }

  /** Puts messages back that were taken but reached nobody, before all others. */
  restore(messages: readonly ReceivedMessage[]): void {
    const later = this.peek()
    this.#waiting.clear()
    for (const message of [...messages, ...later]) this.add(message)
  }

  /** Takes these messages out; ids that are not waiting are ignored. */
  remove(ids: readonly MessageId[]): void {
    for (const id of ids) this.#waiting.delete(id)
    this.#taken()
  }

  /** Takes all waiting messages out, oldest first; with `max` no more than that. */
  drain(max = Number.POSITIVE_INFINITY): ReceivedMessage[] {
    const all = this.peek(max)
    this.remove(all.map((message) => message.id))
    return all
  }
}
