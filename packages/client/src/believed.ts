import { fingerprint, fromB64u, verifyChain, verifyPresence, type ChainTo, type Presence, type Revoked, type TokenCache } from '@claudemesh/crypto'
import { MeshError, foldName, times, type MeshId, type RootPubkey, type SessionPubkey, type Status } from '@claudemesh/protocol'
import type { Peer } from './types.ts'

/** A session as its own signed tokens describe it. */
export interface Believed {
  readonly session: SessionPubkey
  readonly chain: ChainTo<'session'>
  readonly presence: Presence
  /** The name as names are compared. */
  readonly folded: string
  readonly fingerprint: string
}

/** What the broker says of a session, before anything is verified. */
export interface Claim {
  readonly session: SessionPubkey
  readonly tokens: readonly string[]
  readonly presence: string
}

export interface Trust {
  readonly mesh: MeshId
  readonly root: RootPubkey
  readonly now: number
  readonly revoked: Revoked
  readonly cache: TokenCache
  /** Milliseconds by which a session certificate may have ended. */
  readonly grace?: number
}

/** Verifies certificates and presence of a claim. Throws the refusal. */
export function believe(claim: Claim, trust: Trust): Believed {
  const { session, tokens } = claim
  const chain = verifyChain(tokens, { ...trust, ends: 'session' })
  if (chain.session.key !== session) throw new MeshError('bad_chain', 'the certificates are those of another session')
  const presence = verifyPresence(claim.presence, { mesh: trust.mesh, session })
  return { session, chain, presence, folded: foldName(presence.name), fingerprint: fingerprint(session) }
}

/** Whether the policy revokes a key of the chain. */
export function isRevoked({ admin, invite, member, session }: ChainTo<'session'>, revoked: Revoked): boolean {
  if (invite && revoked.invites.includes(invite.key) && !revoked.kept?.includes(member.key)) return true
  return revoked.members.includes(member.key) || revoked.sessions.includes(session.key) || (admin !== undefined && revoked.members.includes(admin.key))
}

/** Whether the session certificate still counts. */
export function isCurrent(believed: Believed, now: number): boolean {
  return now <= believed.chain.session.exp + times.skew
}

/** The name and groups a presence token claims, unverified: only good for deciding what to verify. */
export function claimedAddresses(token: string): { name: string; groups: string[] } {
  try {
    const payload: unknown = JSON.parse(new TextDecoder().decode(fromB64u(token.slice(0, token.indexOf('.')))))
    const { name, groups } = payload as { name: string; groups: { name: string }[] }
    return { name: foldName(name), groups: groups.map((group) => foldName(group.name)) }
  } catch {
    return { name: '', groups: [] }
  }
}

/** The peer as callers see it; status and connection are the broker's word. */
export function toPeer(
  { session, chain, presence, fingerprint }: Believed,
  { status, since, connected }: { readonly status: Status; readonly since?: number | undefined; readonly connected: boolean },
): Peer {
  const { id, key, name, role } = chain.member
  return {
    session,
    member: { id, key, name, role },
    name: presence.name,
    ...(presence.role === undefined ? {} : { role: presence.role }),
    groups: presence.groups,
    ...(presence.summary === undefined ? {} : { summary: presence.summary }),
    fingerprint,
    status,
    ...(since === undefined ? {} : { since }),
    connected,
  }
}
