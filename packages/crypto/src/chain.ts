import {
  MeshError,
  parseName,
  times,
  type InvitePubkey,
  type MemberId,
  type MemberPubkey,
  type MeshId,
  type RootPubkey,
  type SessionPubkey,
} from '@claudemesh/protocol'
import type { Role } from './issue.ts'
import { memberIdOf, meshIdOf } from './keys.ts'
import type { Payload, TokenType } from './payloads.ts'
import { verifyToken } from './token.ts'
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

// How a chain is read follows from its end and its length alone, never from what its tokens claim to be.
const grammar: Record<ChainEnd, readonly (readonly TokenType[])[]> = {
  invite: [['invite'], ['member', 'invite']],
  member: [['member'], ['invite', 'member'], ['member', 'invite', 'member']],
  session: [
    ['member', 'session'],
    ['invite', 'member', 'session'],
    ['member', 'invite', 'member', 'session'],
  ],
}

/** Verifies a chain of certificates up to the mesh's root. Throws `bad_token`, `bad_chain`, `revoked` or `invite_expired`, naming the rule. */
export function verifyChain<E extends ChainEnd>(tokens: readonly string[], o: ChainOptions<E>): ChainTo<E> {
  if (meshIdOf(o.root) !== o.mesh) throw bad('the root key does not belong to this mesh')
  const types = grammar[o.ends].find((form) => form.length === tokens.length)
  if (!types) throw bad(`${tokens.length} certificates do not form a chain to ${o.ends === 'invite' ? 'an' : 'a'} ${o.ends}`)
  const steps = new Steps(o)
  tokens.forEach((token, i) => steps.add(token, types[i] as TokenType))
  const chain = steps.finish()
  refuseRevoked(chain, o.revoked)
  return chain as ChainTo<E>
}

/** Walks from the root down; each certificate is verified with the key the one before it certified. */
class Steps {
  readonly #o: ChainOptions<ChainEnd>
  #issuer: string
  #admin: Payload<'member'> | undefined
  #invite: Payload<'invite'> | undefined
  #member: Payload<'member'> | undefined
  #session: Payload<'session'> | undefined

  constructor(o: ChainOptions<ChainEnd>) {
    this.#o = o
    this.#issuer = o.root
  }

  add(token: string, type: TokenType): void {
    if (type === 'member') this.#issuer = this.#addMember(this.#verify(token, 'member')).k
    else if (type === 'invite') this.#issuer = this.#addInvite(this.#verify(token, 'invite')).k
    else this.#issuer = this.#addSession(this.#verify(token, 'session')).k
  }

  #verify<T extends TokenType>(token: string, type: T): Payload<T> {
    const { mesh, cache } = this.#o
    return cache ? cache.verify(token, type, mesh, this.#issuer) : verifyToken(token, type, mesh, this.#issuer)
  }

  #addMember(member: Payload<'member'>): Payload<'member'> {
    const invite = this.#invite
    if (invite) checkAdmission(member, invite)
    else if (member.via !== undefined) throw bad('a certificate signed by the root names an invite')
    return (this.#member = member)
  }

  #addInvite(invite: Payload<'invite'>): Payload<'invite'> {
    this.#admin = this.#member
    this.#member = undefined
    if (this.#admin && this.#admin.role !== 'admin') throw bad('the issuer of the invite is not an admin')
    if (this.#admin && invite.role === 'admin') throw bad('only the root invites admins')
    if (this.#o.ends === 'invite' && this.#o.now > invite.exp) throw new MeshError('invite_expired')
    return (this.#invite = invite)
  }

  #addSession(session: Payload<'session'>): Payload<'session'> {
    const { now, grace = 0 } = this.#o
    if (session.exp - session.iat > times.sessionLifeMax) throw bad('the session certificate lasts longer than seven days')
    if (now < session.iat - times.skew) throw bad('the session certificate is not valid yet')
    if (now > session.exp + times.skew + grace) throw bad('the session certificate has expired')
    return (this.#session = session)
  }

  finish(): Chain {
    return {
      ...(this.#admin && { admin: { key: this.#admin.k, name: nameOf(this.#admin) } }),
      ...(this.#invite && { invite: inviteOf(this.#invite) }),
      ...(this.#member && { member: memberOf(this.#member) }),
      ...(this.#session && { session: { key: this.#session.k, iat: this.#session.iat, exp: this.#session.exp, caps: this.#session.caps } }),
    }
  }
}

function checkAdmission(member: Payload<'member'>, invite: Payload<'invite'>): void {
  if (member.via !== invite.k) throw bad('the member certificate names another invite')
  if (member.role !== invite.role) throw bad('the member certificate has another role than its invite')
  if (member.iat < invite.iat - times.skew) throw bad('the member certificate is older than its invite')
  if (member.iat > invite.exp) throw new MeshError('invite_expired', 'the member certificate was made after its invite expired')
}

function refuseRevoked(chain: Chain, revoked: Revoked | undefined): void {
  if (!revoked) return
  const { admin, invite, member, session } = chain
  if (admin && revoked.members.includes(admin.key)) throw new MeshError('revoked', 'the admin who issued the invite is revoked')
  if (invite && revoked.invites.includes(invite.key) && !(member && revoked.kept?.includes(member.key))) throw new MeshError('revoked', 'the invite is revoked')
  if (member && revoked.members.includes(member.key)) throw new MeshError('revoked', 'the member is revoked')
  if (session && revoked.sessions.includes(session.key)) throw new MeshError('revoked', 'the session is revoked')
}

const memberOf = (m: Payload<'member'>): ChainMember => ({
  key: m.k,
  id: memberIdOf(m.m, m.k),
  role: m.role,
  name: nameOf(m),
  iat: m.iat,
  ...(m.via && { via: m.via }),
})

const inviteOf = (i: Payload<'invite'>): ChainInvite => ({ key: i.k, role: i.role, max: i.max, iat: i.iat, exp: i.exp, ...(i.by && { by: i.by }) })

function nameOf(member: Payload<'member'>): string {
  try {
    return parseName(member.name)
  } catch (cause) {
    throw new MeshError('bad_chain', `the member's name is refused: ${cause instanceof Error ? cause.message : ''}`, { cause })
  }
}

const bad = (why: string) => new MeshError('bad_chain', why)
