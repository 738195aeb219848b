import { MeshError, check, limits, sealedReceipt, type Log, type MessageId, type SessionPubkey } from '@claudemesh/protocol'

/** What a sealed receipt says of messages. */
export interface Proof {
  /** Shown to their reader. */
  readonly surfaced: readonly MessageId[]
  /** Kept from the reader for long, by do-not-disturb, a budget or a hook of its user. */
  readonly held: readonly MessageId[]
}

/** Reads a sealed receipt. Throws `bad_frame`. */
export function readProof(text: string): Proof {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch (cause) {
    throw new MeshError('bad_frame', 'the sealed receipt is not JSON', { cause })
  }
  const { surfaced, held = [] } = check('receipt', sealedReceipt, json)
  return { surfaced, held }
}

type Due = Record<keyof Proof, MessageId[]>

/** Sealed receipts to the senders of what was shown here: one under way per sender, what is shown meanwhile goes into the next. */
export class Proofs {
  readonly #send: (to: SessionPubkey, text: string) => Promise<void>
  readonly #log: Log
  readonly #due = new Map<SessionPubkey, Due>()
  readonly #running = new Map<SessionPubkey, Promise<void>>()

  constructor(send: (to: SessionPubkey, text: string) => Promise<void>, log: Log) {
    this.#send = send
    this.#log = log
  }

  add(to: SessionPubkey, word: keyof Due, id: MessageId): void {
    const due = this.#due.get(to) ?? { surfaced: [], held: [] }
    due[word].push(id)
    this.#due.set(to, due)
    if (!this.#running.has(to)) this.#running.set(to, this.#run(to))
  }

  /** The broker is back: what could not go to it goes now. */
  resume(): void {
    for (const to of this.#due.keys()) if (!this.#running.has(to)) this.#running.set(to, this.#run(to))
  }

  /** Resolves when nothing is under way. */
  async settled(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running.values())
  }

  async #run(to: SessionPubkey): Promise<void> {
    // What is shown in the same turn of the event loop goes together.
    await Promise.resolve()
    let proof: Due | undefined
    try {
      while ((proof = this.#take(to))) await this.#send(to, JSON.stringify(proof))
    } catch (error) {
      const away = error instanceof MeshError && error.code === 'unavailable'
      if (away && proof) this.#putBack(to, proof)
      // The broker's word of it remains.
      else this.#due.delete(to)
      this.#log('info', 'proof_failed', { error: error instanceof MeshError ? error.code : 'internal' })
    } finally {
      this.#running.delete(to)
    }
  }

  #putBack(to: SessionPubkey, proof: Due): void {
    const later = this.#due.get(to) ?? { surfaced: [], held: [] }
    // As many as one proof may name: of a longer absence the broker's word remains.
    const newest = (word: keyof Due) => [...proof[word], ...later[word]].slice(-limits.receiptsPerFrame)
    this.#due.set(to, { surfaced: newest('surfaced'), held: newest('held') })
  }

  #take(to: SessionPubkey): Due | undefined {
    const due = this.#due.get(to)
    if (!due || due.surfaced.length + due.held.length === 0) {
      this.#due.delete(to)
      return undefined
    }
    return { surfaced: due.surfaced.splice(0, limits.receiptsPerFrame), held: due.held.splice(0, limits.receiptsPerFrame) }
  }
}
