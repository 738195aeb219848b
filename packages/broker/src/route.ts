import { limits, MeshError, type SessionPubkey } from '@claudemesh/protocol'
import type { Mesh } from './mesh.ts'
import type { Presence } from './presence.ts'
import { answers, missing } from './recipients.ts'

/** Who of the named recipients gets a message, and who does not. */
export interface Routed {
  readonly recipients: readonly Presence[]
  /** As many as recipients, or none. */
  readonly wraps: readonly string[]
  /** Not there, or not answering to the routes any longer. */
  readonly gone: readonly SessionPubkey[]
  /** Without room in their queue. */
  readonly full: readonly Presence[]
  /** Answering to the routes, but not named. */
  readonly missing: readonly Presence[]
}

const none: readonly never[] = []

/** The routes of a message as a set. */
export const routesOf = (targetSpec: string | readonly string[]): ReadonlySet<string> => new Set(typeof targetSpec === 'string' ? [targetSpec] : targetSpec)

/** The recipients that answer to the routes and have room for `bytes` more; without `bytes` no room is needed. */
export function route(
  mesh: Mesh,
  me: Presence,
  routes: ReadonlySet<string>,
  named: { keys: readonly SessionPubkey[]; wraps: readonly string[] },
  bytes: number | undefined,
): Routed {
  const routed = { recipients: [] as Presence[], wraps: [] as string[], gone: [] as SessionPubkey[], full: [] as Presence[] }
  for (const [i, key] of named.keys.entries()) {
    const presence = mesh.presences.get(key)
    if (!presence || !answers(presence, routes)) routed.gone.push(key)
    else if (bytes !== undefined && isFull(presence, bytes)) routed.full.push(presence)
    else {
      routed.recipients.push(presence)
      const wrap = named.wraps[i]
      if (wrap !== undefined) routed.wraps.push(wrap)
    }
  }
  return { ...routed, missing: missing(mesh, me, routes, new Set(named.keys)) }
}

/** The same for the commonest message: to one session, by its key. */
export function routeDirect(mesh: Mesh, sender: SessionPubkey, to: string, bytes: number | undefined): Routed {
  const key = to as SessionPubkey
  if (key === sender) throw new MeshError('bad_recipients', 'to contains the sender')
  const presence = mesh.presences.get(key)
  if (!presence) return { recipients: none, wraps: none, gone: [key], full: none, missing: none }
  if (bytes !== undefined && isFull(presence, bytes)) return { recipients: none, wraps: none, gone: none, full: [presence], missing: none }
  return { recipients: [presence], wraps: none, gone: none, full: none, missing: none }
}

const isFull = ({ queued }: Presence, bytes: number): boolean => queued.count >= limits.queuedPerSession || queued.bytes + bytes > limits.queuedBytesPerSession
