import type { MessageId } from '@claudemesh/protocol'
import { outranks, type Entry, type Receipt } from './statements.ts'

/**
 * Messages that wait for the store. They were pushed already, so a recipient may be done with one by now: its delivery is then inserted as it stands, which spares
 * the store an update of the row and the queue an entry.
 */
export class Early {
  readonly #waiting = new Map<MessageId, Entry>()

  add(entry: Entry): void {
    // Of two under one id the first is what gets stored.
    if (!this.#waiting.has(entry.id)) this.#waiting.set(entry.id, entry)
  }

  /** Keeps a receipt with its message, if that still waits; one that does not is for an update. */
  keep(receipt: Receipt): boolean {
    const entry = this.#waiting.get(receipt.messageId)
    if (entry?.meshId !== receipt.meshId) return false
    const receipts = (entry.early ??= new Map())
    const known = receipts.get(receipt.recipient)
    if (!known || outranks(receipt, known)) receipts.set(receipt.recipient, receipt)
    return true
  }

  /** From now on their receipts come too late to go with them. */
  taken(entries: readonly Entry[]): void {
    for (const entry of entries) if (this.#waiting.get(entry.id) === entry) this.#waiting.delete(entry.id)
  }
}
