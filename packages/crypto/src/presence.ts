import { limits, MeshError, parseGroup, parseLabel, parseName, type MeshId, type SessionPubkey } from '@claudemesh/protocol'
import type { Payload } from './payloads.ts'
import { verifyToken } from './token.ts'

/** What a session says of itself, verified and in canonical spelling. Receivers keep the highest `seq`. */
export interface Presence {
  readonly session: SessionPubkey
  readonly seq: number
  readonly ts: number
  readonly name: string
  readonly role?: string
  readonly groups: readonly { readonly name: string; readonly role?: string }[]
  readonly summary?: string
}

/** Verifies a presence token against the session it must come from. Throws `bad_presence`. */
export function verifyPresence(token: string, o: { mesh: MeshId; session: SessionPubkey }): Presence {
  try {
    return toPresence(verifyToken(token, 'presence', o.mesh, o.session), o.session)
  } catch (error) {
    if (!(error instanceof MeshError)) throw error
    throw new MeshError('bad_presence', `the presence is refused: ${error.message}`, { cause: error })
  }
}

function toPresence(payload: Payload<'presence'>, session: SessionPubkey): Presence {
  if (payload.k !== session) throw new MeshError('bad_presence', 'it names another session')
  const groups = payload.groups.map((group) => ({ name: parseGroup(group.name), ...roleOf(group.role) }))
  if (new Set(groups.map((group) => group.name)).size !== groups.length) throw new MeshError('bad_presence', 'it names a group twice')
  return {
    session,
    seq: payload.seq,
    ts: payload.ts,
    name: parseName(payload.name),
    ...roleOf(payload.role),
    groups,
    ...(payload.summary !== undefined && { summary: parseLabel(payload.summary, 'summary', limits.summaryChars) }),
  }
}

const roleOf = (role: string | undefined) => (role === undefined ? {} : { role: parseLabel(role, 'role', limits.roleChars) })
