import { MeshError, check, limits, sealedReceipt, type Log, type MessageId, type SessionPubkey } from '@claudemesh/protocol'

/** The ids that a sealed receipt says were shown to their reader. Throws `bad_frame`. */
export function readProof(text: string): readonly MessageId[] {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch (cause) {
    throw new MeshError('bad_frame', 'the sealed receipt is not JSON', { cause })
  }
  return check('receipt', sealedReceipt, json).surfaced
}

/** Sealed receipts to the senders of what was shown here: one under way per sender, what is shown meanwhile goes into the next. */
export class Proofs {
  readonly #send: (to: SessionPubkey, text: string) => Promise<void>
  readonly #log: Log
  readonly #due = new Map<SessionPubkey, MessageId[]>()
  readonly #running = new Map<SessionPubkey, Promise<void>>()

  constructor(send: (to: SessionPubkey, text: string) => Promise<void>, log: Log) {
    this.#send = send
    this.#log = log
  }

  add(to: SessionPubkey, id: MessageId): void {
    const due = this.#due.get(to)
    if (due) due.push(id)
    else this.#due.set(to, [id])
    if (!this.#running.has(to)) this.#running.set(to, this.#run(to))
  }

  /** Resolves when nothing is under way. */
  async settled(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running.values())
  }

  async #run(to: SessionPubkey): Promise<void> {
    // What is shown in the same turn of the event loop goes together.
    await Promise.resolve()
    try {
      for (let ids = this.#take(to); ids.length > 0; ids = this.#take(to)) await this.#send(to, JSON.stringify({ surfaced: ids }))
    } catch (error) {
      // The broker's word of it remains.
      this.#due.delete(to)
      this.#log('info', 'proof_failed', { error: error instanceof MeshError ? error.code : 'internal' })
    } finally {
      this.#running.delete(to)
    }
  }

  #take(to: SessionPubkey): MessageId[] {
    const ids = this.#due.get(to)?.splice(0, limits.receiptsPerFrame) ?? []
    if (ids.length === 0) this.#due.delete(to)
    return ids
  }
}
