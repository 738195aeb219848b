import type { MessageId } from '@claudemesh/protocol'
import type { ReceivedMessage } from './types.ts'

/** Received messages that nobody took yet, oldest first. */
export class Inbox {
  readonly #waiting = new Map<MessageId, ReceivedMessage>()
  readonly #taken: () => void

  constructor(taken: () => void = () => {}) {
    this.#taken = taken
  }

  get size(): number {
    return this.#waiting.size
  }

  add(message: ReceivedMessage): void {
    this.#waiting.set(message.id, message)
  }

  /** The waiting messages, left where they are. */
  peek(): ReceivedMessage[] {
    return [...this.#waiting.values()]
  }

  /** Takes these messages out; ids that are not waiting are ignored. */
  remove(ids: readonly MessageId[]): void {
    for (const id of ids) this.#waiting.delete(id)
    this.#taken()
  }

  /** Takes all waiting messages out, oldest first; with `max` no more than that. */
  drain(max = Number.POSITIVE_INFINITY): ReceivedMessage[] {
    const all = this.peek().slice(0, max)
    this.remove(all.map((message) => message.id))
    return all
  }
}
