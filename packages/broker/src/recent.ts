import type { MeshId, MessageId } from '@claudemesh/protocol'

/** The newest sends of all meshes, to recognise a repeat before it is pushed twice. */
export class Recent {
  readonly #most: number
  #sent = new Map<MessageId, MeshId>()
  /** Those before: let go of all at once, which is cheaper than each in its turn. */
  #before = new Map<MessageId, MeshId>()

  /** It knows the last `most` sends, and up to twice as many. */
  constructor(most: number) {
    this.#most = most
  }

  /** Whether this id was sent in the mesh lately; from here on it was. */
  repeats(mesh: MeshId, id: MessageId): boolean {
    if (this.#sent.get(id) === mesh || this.#before.get(id) === mesh) return true
    this.#sent.set(id, mesh)
    if (this.#sent.size >= this.#most) {
      this.#before = this.#sent
      this.#sent = new Map()
    }
    return false
  }

  /** Lets an id be sent again: it was not stored. */
  forget(id: MessageId): void {
    this.#sent.delete(id)
    this.#before.delete(id)
  }
}
