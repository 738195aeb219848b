import { addressesOf, type MemberId, type MemberPubkey, type PeerFrame, type PresenceId, type SessionPubkey, type Status } from '@claudemesh/protocol'
import type { Feed } from './feed.ts'
import type { NodeId } from './parcels.ts'
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

const nothing = () => {}
const ofNoGroup: ReadonlySet<string> = addressesOf([])

// Most sessions are in no group, and share the addresses of those.
const answeringTo = (groups: readonly GroupRole[]): ReadonlySet<string> => (groups.length === 0 ? ofNoGroup : addressesOf(groups))

/** A live session of a mesh, connected or lingering: what the broker routes by and tells others of. */
export class Presence {
  readonly key: SessionPubkey
  readonly memberId: MemberId
  readonly memberPubkey: MemberPubkey
  readonly memberName: string
  id: PresenceId
  /** Counts the connections of this session, on whichever node. */
  epoch: number
  chain: readonly string[]
  expiresAt: number
  status: Status = 'idle'
  statusSince: number | undefined
  /** The connection, while there is one here. */
  link: { readonly session: Session; readonly feed: Feed } | undefined
  /** The node that holds its connection, when that is another one. */
  elsewhere: NodeId | undefined
  /** The node that held its connection when it fell silent. */
  silent: NodeId | undefined
  cancelLinger = nothing
  /** When newer connections took this session over, lately. */
  swaps: number[] = []
  /** It shows mail for its member, or may: of sessions that are not connected here nobody knows. */
  showsMail = false
  /** What the durable queue holds for it. */
  queued = { count: 0, bytes: 0 }
  #signed: Signed
  #addresses: ReadonlySet<string>

  constructor(from: {
    key: SessionPubkey
    id: PresenceId
    epoch: number
    memberId: MemberId
    memberPubkey: MemberPubkey
    memberName: string
    chain: readonly string[]
    expiresAt: number
    signed: Signed
  }) {
    this.key = from.key
    this.id = from.id
    this.epoch = from.epoch
    this.memberId = from.memberId
    this.memberPubkey = from.memberPubkey
    this.memberName = from.memberName
    this.chain = from.chain
    this.expiresAt = from.expiresAt
    this.#signed = from.signed
    this.#addresses = answeringTo(from.signed.groups)
  }

  /** Whether it is connected, here or at another node. */
  get connected(): boolean {
    return this.link !== undefined || this.elsewhere !== undefined
  }

  /** A message of this size waits for it. */
  enqueue(bytes: number): void {
    this.queued.count++
    this.queued.bytes += bytes
  }

  /** It waits no longer. What other nodes counted may come late, so a count does not go below none. */
  unqueue(bytes: number): void {
    this.queued.count = Math.max(0, this.queued.count - 1)
    this.queued.bytes = Math.max(0, this.queued.bytes - bytes)
  }

  get signed(): Signed {
    return this.#signed
  }

  set signed(signed: Signed) {
    this.#signed = signed
    this.#addresses = answeringTo(signed.groups)
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
    connected: p.connected,
  }))
  return { peers, tokens }
}
