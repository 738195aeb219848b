import type { Mesh, MeshEvents } from '@claudemesh/client'
import { MeshError, isErrorCode, type MessageId, type SessionPubkey } from '@claudemesh/protocol'

type Delivery = MeshEvents['delivery']

/** Remembers each recipient's newest word about this session's messages, from before they are sent. */
export class DeliveryWatch implements Disposable {
  readonly #known = new Map<string, Delivery>()
  readonly #off: () => void
  #look = () => {}

  constructor(mesh: Mesh) {
    this.#off = mesh.on('delivery', (delivery) => {
      this.#known.set(`${delivery.id} ${delivery.session}`, delivery)
      this.#look()
    })
  }

  /** Resolves when every recipient has received the message; rejects with the reason when one will not. */
  async received(id: MessageId, recipients: readonly SessionPubkey[], mesh: Mesh): Promise<void> {
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
        else if (states.every((state) => state !== undefined && state.rung !== 'stored')) resolve()
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
