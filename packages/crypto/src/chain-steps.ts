import { MeshError, parseName, times } from '@claudemesh/protocol'
import type { Chain, ChainEnd, ChainInvite, ChainMember, ChainOptions } from './chain-types.ts'
import { memberIdOf } from './keys.ts'
import type { Payload, TokenType } from './payloads.ts'
import { verifyToken } from './token.ts'

/** Walks from the root down; each certificate is verified with the key the one before it certified. */
export class Steps {
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
