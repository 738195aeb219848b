import type { MeshId, MessageId } from '@claudemesh/protocol'

/** The newest sends of all meshes, to recognise a repeat before it is pushed twice. */
export class Recent {
  readonly #most: number
  readonly #sent = new Map<MessageId, MeshId>()

  constructor(most: number) {
    this.#most = most
  }

  /** Whether this id was sent in the mesh lately; from here on it was. */
  repeats(mesh: MeshId, id: MessageId): boolean {
    if (this.#sent.get(id) === mesh) return true
    this.#sent.set(id, mesh)
    if (this.#sent.size > this.#most) {
      const [oldest] = this.#sent.keys()
      if (oldest !== undefined) this.#sent.delete(oldest)
    }
    return false
  }

  /** Lets an id be sent again: it was not stored. */
  forget(id: MessageId): void {
    this.#sent.delete(id)
  }
}
