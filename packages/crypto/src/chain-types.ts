import type { InvitePubkey, MemberId, MemberPubkey, MeshId, RootPubkey, SessionPubkey } from '@claudemesh/protocol'
import type { Role } from './issue.ts'
import type { TokenCache } from './token-cache.ts'

/** Keys that the signed policy refuses. `kept` are members who stay although their invite was revoked. */
export interface Revoked {
  readonly members: readonly string[]
  readonly invites: readonly string[]
  readonly sessions: readonly string[]
  readonly kept?: readonly string[]
}

export interface ChainAdmin {
  readonly key: MemberPubkey
  readonly name: string
}

export interface ChainInvite {
  readonly key: InvitePubkey
  readonly role: Role
  readonly max: number
  readonly iat: number
  /** Whoever admits a new member compares this with its own clock; the chain of a member remains valid after it. */
  readonly exp: number
  readonly by?: MemberPubkey
}

export interface ChainMember {
  readonly key: MemberPubkey
  readonly id: MemberId
  readonly role: Role
  readonly name: string
  readonly iat: number
  readonly via?: InvitePubkey
}

export interface ChainSession {
  readonly key: SessionPubkey
  readonly iat: number
  readonly exp: number
  readonly caps: readonly string[]
}

/** A verified chain of certificates from the mesh's root key; ends as the caller asked for. */
export interface Chain {
  readonly admin?: ChainAdmin
  readonly invite?: ChainInvite
  readonly member?: ChainMember
  readonly session?: ChainSession
}

export type ChainEnd = 'member' | 'invite' | 'session'

/** The parts that are certain to be there, by how the chain ends. */
export type ChainTo<E extends ChainEnd> = Chain &
  (E extends 'invite' ? { readonly invite: ChainInvite } : { readonly member: ChainMember }) &
  (E extends 'session' ? { readonly session: ChainSession } : unknown)

export interface ChainOptions<E extends ChainEnd> {
  mesh: MeshId
  root: RootPubkey
  now: number
  ends: E
  revoked?: Revoked | undefined
  cache?: TokenCache | undefined
  /** Milliseconds beyond a session's end in which its queued messages are still read. Default 0. */
  grace?: number | undefined
}
