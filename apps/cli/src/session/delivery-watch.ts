import type { Mesh, MeshEvents } from '@claudemesh/client'
import { MeshError, isErrorCode, type MessageId, type RecipientPubkey } from '@claudemesh/protocol'

type Delivery = MeshEvents['delivery']
/** The rungs that one can wait for beyond `stored`. */
export type WaitedFor = 'received' | 'surfaced'

function reaches({ rung, proven }: Delivery, wanted: WaitedFor): boolean {
  return wanted === 'received' ? rung !== 'stored' : proven === true || rung === 'answered'
}

/** Remembers each recipient's newest word about this session's messages, from before they are sent. */
export class DeliveryWatch implements Disposable {
  readonly #known = new Map<string, Delivery>()
  readonly #off: () => void
  #look = () => {}

  constructor(mesh: Mesh) {
    this.#off = mesh.on('delivery', (delivery) => {
      const key = `${delivery.id} ${delivery.session}`
      // The broker's word does not undo a proof.
      if (!this.#known.get(key)?.proven) this.#known.set(key, delivery)
      this.#look()
    })
  }

  /** Resolves when the message stands on that rung, or higher, at every recipient; rejects with the reason when one will not get it. `surfaced` is believed with proof alone. */
  async until(rung: WaitedFor, id: MessageId, recipients: readonly RecipientPubkey[], mesh: Mesh): Promise<void> {
    // What happened before the events began is asked for once.
    for (const one of (await mesh.status(id)).recipients) {
      const key = `${id} ${one.session}`
      if (!this.#known.has(key)) this.#known.set(key, { id, ...one })
    }
    await new Promise<void>((resolve, reject) => {
      this.#look = () => {
        const states = recipients.map((session) => this.#known.get(`${id} ${session}`))
        const failed = states.find((state) => state?.rung === 'failed')
        if (failed) reject(failure(failed))
        else if (states.every((state) => state !== undefined && reaches(state, rung))) resolve()
      }
      this.#look()
    })
  }

  [Symbol.dispose](): void {
    this.#off()
  }
}

function failure({ name, reason = 'internal' }: Delivery): MeshError {
  return new MeshError(isErrorCode(reason) ? reason : 'internal', `${name} did not receive it: ${reason}`)
}
