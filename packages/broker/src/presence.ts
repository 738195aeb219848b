import { addressesOf, type MemberId, type MemberPubkey, type PeerFrame, type PresenceId, type SessionPubkey, type Status } from '@claudemesh/protocol'
import type { Feed } from './feed.ts'
import type { Session } from './session.ts'
import { shared } from './shared-tokens.ts'

export interface GroupRole {
  name: string
  role?: string
}

export interface Signed {
  readonly token: string
  readonly seq: number
  readonly groups: readonly GroupRole[]
}

/** A live session of a mesh, connected or lingering: what the broker routes by and tells others of. */
export class Presence {
  readonly key: SessionPubkey
  readonly memberId: MemberId
  readonly memberPubkey: MemberPubkey
  readonly memberName: string
  id: PresenceId
  chain: readonly string[]
  expiresAt: number
  status: Status = 'idle'
  statusSince: number | undefined
  /** The connection, while there is one. */
  link: { readonly session: Session; readonly feed: Feed } | undefined
  cancelLinger: () => void = () => {}
  /** When newer connections took this session over, lately. */
  swaps: number[] = []
  /** What the durable queue holds for it. */
  queued = { count: 0, bytes: 0 }
  #signed: Signed
  #addresses: ReadonlySet<string>

  constructor(from: {
    key: SessionPubkey
    id: PresenceId
    memberId: MemberId
    memberPubkey: MemberPubkey
    memberName: string
    chain: readonly string[]
    expiresAt: number
    signed: Signed
  }) {
    this.key = from.key
    this.id = from.id
    this.memberId = from.memberId
    this.memberPubkey = from.memberPubkey
    this.memberName = from.memberName
    this.chain = from.chain
    this.expiresAt = from.expiresAt
    this.#signed = from.signed
    this.#addresses = addressesOf(from.signed.groups)
  }

  get signed(): Signed {
    return this.#signed
  }

  set signed(signed: Signed) {
    this.#signed = signed
    this.#addresses = addressesOf(signed.groups)
  }

  /** `*`, `@all` and its groups, as the session itself signed them. */
  get addresses(): ReadonlySet<string> {
    return this.#addresses
  }
}

/** Peers as frames tell of them, with the tokens that several share listed once. */
export function peerTable(presences: Iterable<Presence>): { peers: PeerFrame[]; tokens: string[] } {
  const all = [...presences]
  const { chains, tokens } = shared(all.map((p) => p.chain))
  const peers = all.map((p, i) => ({
    sessionPubkey: p.key,
    chain: chains[i] ?? [],
    presence: p.signed.token,
    status: p.status,
    ...(p.statusSince === undefined ? {} : { since: p.statusSince }),
    connected: p.link !== undefined,
  }))
  return { peers, tokens }
}
