import { limits, type ErrorCode, type MessageId } from '@claudemesh/protocol'

type Failed = { readonly messageId: MessageId; readonly reason: string }

type Body = { readonly received: MessageId[]; readonly surfaced?: MessageId[]; readonly failed: Failed[] }

/** Receipts of one turn of the event loop, sent together. Those that found no connection are moot: the broker sends the message again. */
export class Receipts {
  readonly #send: (body: Body) => void
  #received: MessageId[] = []
  #surfaced: MessageId[] = []
  #failed: Failed[] = []
  #due = false

  constructor(send: (body: Body) => void) {
    this.#send = send
  }

  received(id: MessageId): void {
    this.#received.push(id)
    this.#soon()
  }

  /** The message was shown to its reader: the broker need not keep it. */
  surfaced(id: MessageId): void {
    this.#surfaced.push(id)
    this.#soon()
  }

  failed(messageId: MessageId, reason: ErrorCode): void {
    this.#failed.push({ messageId, reason })
    this.#soon()
  }

  flush(): void {
    this.#due = false
    while (this.#received.length + this.#surfaced.length + this.#failed.length > 0) {
      const surfaced = this.#surfaced.splice(0, limits.receiptsPerFrame)
      this.#send({
        received: this.#received.splice(0, limits.receiptsPerFrame),
        ...(surfaced.length === 0 ? {} : { surfaced }),
        failed: this.#failed.splice(0, limits.receiptsPerFrame),
      })
    }
  }

  #soon(): void {
    if (this.#due) return
    this.#due = true
    queueMicrotask(() => this.flush())
  }
}
