import { limits, type ErrorCode, type MessageId } from '@claudemesh/protocol'

/** Receipts of one turn of the event loop, sent together. Those that found no connection are moot: the broker sends the message again. */
export class Receipts {
  readonly #send: (body: { received: MessageId[]; failed: { messageId: MessageId; reason: string }[] }) => void
  #received: MessageId[] = []
  #failed: { messageId: MessageId; reason: string }[] = []
  #due = false

  constructor(send: (body: { received: MessageId[]; failed: { messageId: MessageId; reason: string }[] }) => void) {
    this.#send = send
  }

  received(id: MessageId): void {
    this.#received.push(id)
    this.#soon()
  }

  failed(messageId: MessageId, reason: ErrorCode): void {
    this.#failed.push({ messageId, reason })
    this.#soon()
  }

  flush(): void {
    this.#due = false
    while (this.#received.length + this.#failed.length > 0) {
      this.#send({ received: this.#received.splice(0, limits.receiptsPerFrame), failed: this.#failed.splice(0, limits.receiptsPerFrame) })
    }
  }

  #soon(): void {
    if (this.#due) return
    this.#due = true
    queueMicrotask(() => this.flush())
  }
}
