import { tokenHash, verifyPolicy, type Policy } from '@claudemesh/crypto'
import type { MeshId, RootPubkey } from '@claudemesh/protocol'
import type { PolicyPin } from './ports.ts'

/** The mesh's signed policy, never older than one seen before: a broker cannot roll it back or show two different ones. */
export class PolicyKeeper {
  readonly #mesh: MeshId
  readonly #root: RootPubkey
  readonly #pin: PolicyPin | undefined
  #token: string | undefined
  #policy: Policy | undefined

  constructor(mesh: MeshId, root: RootPubkey, pin: PolicyPin | undefined) {
    this.#mesh = mesh
    this.#root = root
    this.#pin = pin
    this.#token = pin?.load()
    if (this.#token !== undefined) this.#policy = verifyPolicy(this.#token, { mesh, root })
  }

  get current(): Policy | undefined {
    return this.#policy
  }

  get token(): string | undefined {
    return this.#token
  }

  /** Version and hash for the inside of messages, so that peers notice a broker that freezes some of them. */
  get mark(): [number, string] | undefined {
    return this.#policy && this.#token !== undefined ? [this.#policy.v, tokenHash(this.#token).slice(0, 11)] : undefined
  }

  /** Takes a policy from the broker; true when it is new. Throws `bad_policy` for a forged, older or forked one. */
  take(token: string): boolean {
    if (token === this.#token) return false
    const policy = verifyPolicy(token, { mesh: this.#mesh, root: this.#root, pinned: this.#token })
    this.#policy = policy
    this.#token = token
    this.#pin?.save(token)
    return true
  }
}
