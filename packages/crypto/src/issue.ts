import { limits, parseGroup, parseLabel, parseName, times, type InvitePubkey, type MemberPubkey, type MeshId } from '@claudemesh/protocol'
import type { InviteKey, MemberKey, RootKey, SessionKey } from './keys.ts'
import { signToken } from './token.ts'

export type Role = 'admin' | 'member'

/** A member certificate, counter-signed by the member key. `via` names the invite when an invite key issues it. Throws `bad_name`. */
export function issueMember(o: {
  mesh: MeshId
  subject: MemberKey
  issuer: RootKey | InviteKey
  role: Role
  name: string
  iat: number
  via?: InvitePubkey | undefined
}): string {
  const payload = { m: o.mesh, k: o.subject.publicKey, ...(o.via && { via: o.via }), role: o.role, name: parseName(o.name), iat: o.iat }
  return signToken('member', payload, o.issuer, o.subject)
}

/** An invite certificate, signed by the root or a root-signed admin: who holds the invite's key may make `max` members until `exp`. */
export function issueInvite(o: {
  mesh: MeshId
  invite: InvitePubkey
  issuer: RootKey | MemberKey
  role: Role
  max: number
  iat: number
  exp: number
  by?: MemberPubkey | undefined
}): string {
  const payload = { m: o.mesh, k: o.invite, role: o.role, max: o.max, iat: o.iat, exp: o.exp, ...(o.by && { by: o.by }) }
  return signToken('invite', payload, o.issuer)
}

/** A session certificate, signed by the member key and counter-signed by the session key; by default for 24 hours. */
export function issueSession(o: {
  mesh: MeshId
  session: SessionKey
  member: MemberKey
  iat: number
  exp?: number | undefined
  caps?: readonly string[] | undefined
}): string {
  const payload = { m: o.mesh, k: o.session.publicKey, iat: o.iat, exp: o.exp ?? o.iat + times.sessionLife, caps: o.caps ?? ['wrap1'] }
  return signToken('session', payload, o.member, o.session)
}

/** What a session says of itself, signed by the session key; a higher `seq` replaces a lower one. Throws `bad_name`. */
export function issuePresence(o: {
  mesh: MeshId
  session: SessionKey
  seq: number
  ts: number
  name: string
  role?: string | undefined
  groups: readonly { readonly name: string; readonly role?: string | undefined }[]
  summary?: string | undefined
}): string {
  const payload = {
    m: o.mesh,
    k: o.session.publicKey,
    seq: o.seq,
    ts: o.ts,
    name: parseName(o.name),
    ...roleOf(o.role),
    groups: o.groups.map((group) => ({ name: parseGroup(group.name), ...roleOf(group.role) })),
    ...(o.summary !== undefined && { summary: parseLabel(o.summary, 'summary', limits.summaryChars) }),
  }
  return signToken('presence', payload, o.session)
}

const roleOf = (role: string | undefined) => (role === undefined ? {} : { role: parseLabel(role, 'role', limits.roleChars) })
