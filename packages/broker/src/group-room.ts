import { limits, MeshError } from '@claudemesh/protocol'

const free: Disposable = { [Symbol.dispose]: () => {} }

/** How many groups the sessions of a mesh may be in. What those bring along who are on their way in counts as well. */
export class GroupRoom {
  readonly #inUse: Pick<ReadonlyMap<string, unknown>, 'has' | 'size'>
  readonly #coming = new Map<string, number>()

  /** `inUse` are the addresses of the mesh: its groups, and perhaps everybody's. */
  constructor(inUse: Pick<ReadonlyMap<string, unknown>, 'has' | 'size'>) {
    this.#inUse = inUse
  }

  /** Keeps room for these groups until the scope ends, by when a session is in them or not. Throws `quota_exceeded` where they would be too many. */
  claim(groups: readonly { readonly name: string }[]): Disposable {
    if (groups.length === 0) return free
    const addresses = groups.map(({ name }) => `@${name}`)
    const used = this.#used()
    const fresh = addresses.filter((address) => !this.#inUse.has(address) && !this.#coming.has(address)).length
    if (fresh > 0 && used + fresh > limits.groupsPerMesh)
      throw new MeshError('quota_exceeded', `the sessions of this mesh are in ${used} groups already, ${limits.groupsPerMesh} is the limit: join one of those`)
    for (const address of addresses) this.#coming.set(address, (this.#coming.get(address) ?? 0) + 1)
    return { [Symbol.dispose]: () => this.#release(addresses) }
  }

  #used(): number {
    let used = this.#inUse.size
    for (const address of ['*', '@all']) if (this.#inUse.has(address)) used--
    for (const address of this.#coming.keys()) if (!this.#inUse.has(address)) used++
    return used
  }

  #release(addresses: readonly string[]): void {
    for (const address of addresses) {
      const left = (this.#coming.get(address) ?? 1) - 1
      if (left === 0) this.#coming.delete(address)
      else this.#coming.set(address, left)
    }
  }
}
