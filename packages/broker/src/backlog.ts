import type { MeshId } from '@claudemesh/protocol'

// A round below the first says nothing about what the store can take; one below the second may have been slow for another reason than the messages in it.
const telling = { faster: 64, slower: 512 } as const
const weight = 1 / 4

/** How many messages wait for their commit, the batch in flight included, by mesh; and how fast they get it. */
export class Backlog {
  readonly #byMesh = new Map<MeshId, number>()
  #all = 0
  #pace: number | undefined

  get all(): number {
    return this.#all
  }

  /** Messages that the store takes per second, as far as busy times have shown. */
  get pace(): number | undefined {
    return this.#pace
  }

  of(mesh: MeshId): number {
    return this.#byMesh.get(mesh) ?? 0
  }

  add(mesh: MeshId): void {
    this.#all++
    this.#byMesh.set(mesh, this.of(mesh) + 1)
  }

  /** A message of this mesh waits no longer. */
  remove(mesh: MeshId): void {
    this.#all--
    const left = this.of(mesh) - 1
    if (left === 0) this.#byMesh.delete(mesh)
    else this.#byMesh.set(mesh, left)
  }

  /** A round of the writer stored so many messages in so many milliseconds. */
  took(messages: number, ms: number): void {
    if (messages < telling.faster || ms <= 0) return
    const pace = (messages * 1000) / ms
    if (messages < telling.slower && this.#pace !== undefined && pace < this.#pace) return
    this.#pace = this.#pace === undefined ? pace : this.#pace + (pace - this.#pace) * weight
  }
}
