import { TokenCache, fingerprint, verifyChain, type Revoked } from '@claudemesh/crypto'
import { MeshError, foldName, type Clock, type Contract, type MeshId, type RootPubkey } from '@claudemesh/protocol'
import type { Calls } from './calls.ts'
import { listChains } from './members.ts'
import type { MemberCache } from './ports.ts'
import type { Member } from './types.ts'

export interface DirectoryOptions {
  readonly mesh: MeshId
  readonly root: RootPubkey
  readonly clock: Clock
  readonly calls: Pick<Calls<Contract>, 'session'>
  readonly cache: MemberCache | undefined
  revoked(): Revoked
}

const fresh = 3_600_000

/** Who belongs to the mesh now, present or not, as far as this machine knows. The broker can withhold members, it cannot invent any. */
export class Directory {
  readonly #o: DirectoryOptions
  readonly #tokens = new TokenCache()
  #chains: readonly (readonly string[])[] = []
  #askedAt = Number.NEGATIVE_INFINITY

  constructor(options: DirectoryOptions) {
    this.#o = options
    const kept = options.cache?.load()
    if (!kept) return
    this.#chains = kept.chains
    this.#askedAt = kept.at
  }

  /** Those known from the last time the broker was asked, by name; who is revoked by now is not among them. */
  get known(): Member[] {
    return this.#chains.flatMap((chain) => this.#verify(chain) ?? []).toSorted((a, b) => a.name.localeCompare(b.name) || a.key.localeCompare(b.key))
  }

  byKey(key: string): Member | undefined {
    return this.known.find((member) => member.key === key)
  }

  /** Asks the broker. */
  async list(): Promise<Member[]> {
    const chains = (await listChains(this.#o.calls)).map(({ chain }) => chain)
    this.#chains = chains
    this.#askedAt = this.#o.clock.now()
    this.#o.cache?.save({ at: this.#askedAt, chains })
    return this.known
  }

  /** Keeps the list on disk no older than an hour, so that mail can be sealed while the broker is away. */
  async refresh(): Promise<void> {
    if (this.#o.cache && this.#o.clock.now() - this.#askedAt > fresh) await this.list()
  }

  #verify(tokens: readonly string[]): Member | undefined {
    const { mesh, root, clock } = this.#o
    try {
      const { member } = verifyChain(tokens, { mesh, root, now: clock.now(), ends: 'member', revoked: this.#o.revoked(), cache: this.#tokens })
      const { id, key, name, role } = member
      return { id, key, name, role, folded: foldName(name), fingerprint: fingerprint(key) }
    } catch (error) {
      if (error instanceof MeshError) return undefined
      throw error
    }
  }
}
