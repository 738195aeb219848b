import { limits, MeshError, type RecipientPubkey, type SessionPubkey } from '@claudemesh/protocol'
import type { Mesh } from './mesh.ts'
import type { Presence } from './presence.ts'

const keyChars = 43
const wrapBytes = 88

/** Session keys that stand packed in a field, each once, the sender not among them. Throws `bad_recipients` or `too_many_recipients`. */
export function parseKeys(me: SessionPubkey, to: string): SessionPubkey[] {
  const keys = (to.length === keyChars ? [to] : pieces(to, 32, 'to')) as SessionPubkey[]
  if (keys.length === 0) throw bad('to names nobody')
  if (keys.length > limits.recipients) throw new MeshError('too_many_recipients')
  if (keys.includes(me)) throw bad('to contains the sender')
  if (keys.length > 1 && new Set(keys).size !== keys.length) throw bad('to names a session twice')
  return keys
}

/** The recipients' keys, and one wrap for each when there are wraps. Throws `bad_recipients` or `too_many_recipients`. */
export function parseRecipients(me: SessionPubkey, to: string, wraps: string | undefined): { keys: SessionPubkey[]; wraps: string[] } {
  const keys = parseKeys(me, to)
  if (wraps === undefined) {
    if (keys.length > 1) throw bad('several recipients need a wrap each')
    return { keys, wraps: [] }
  }
  const list = pieces(wraps, wrapBytes, 'wraps')
  if (list.length !== keys.length) throw bad(`${keys.length} recipients, but ${list.length} wraps`)
  return { keys, wraps: list }
}

function pieces(text: string, size: number, field: string): string[] {
  const bytes = Buffer.from(text, 'base64url')
  if (bytes.length % size !== 0) throw bad(`${field} is not a multiple of ${size} bytes`)
  const list: string[] = []
  for (let i = 0; i < bytes.length; i += size) list.push(bytes.toString('base64url', i, i + size))
  return list
}

/** Whether a presence answers to one of the routes: `*`, `@group` or its session key. */
export function answers(presence: Presence, routes: ReadonlySet<string>): boolean {
  if (routes.has(presence.key)) return true
  for (const address of presence.addresses) if (routes.has(address)) return true
  return false
}

/** Who answers to the routes, but is neither the sender nor among the recipients. */
export function missing(mesh: Mesh, me: Presence, routes: ReadonlySet<string>, wrapped: ReadonlySet<RecipientPubkey>): Presence[] {
  const found = new Set<Presence>()
  for (const route of routes) {
    const direct = mesh.presences.get(route as SessionPubkey)
    if (direct) found.add(direct)
    for (const presence of mesh.at(route)) found.add(presence)
  }
  return [...found].filter((presence) => presence !== me && !wrapped.has(presence.key))
}

const bad = (why: string) => new MeshError('bad_recipients', why)
