import type { Mesh } from './mesh.ts'
import type { ToldPresence } from './parcels.ts'
import type { Presence } from './presence.ts'

/** Tells the other nodes of a session that is connected here. Called after its row is written, so that a node that did not hear it read it. */
export function announce(mesh: Mesh, presence: Presence, unsure = false): void {
  if (mesh.nodes.alone || !presence.link) return
  mesh.nodes.toMesh(mesh.id, { t: 'presence', presence: told(presence), ...(unsure ? { unsure } : {}) })
}

function told(presence: Presence): ToldPresence {
  const { key, id, epoch, memberId, memberPubkey, memberName, chain, expiresAt, signed, status, statusSince } = presence
  return { key, id, epoch, memberId, memberPubkey, memberName, chain, expiresAt, signed, status, ...(statusSince === undefined ? {} : { statusSince }) }
}

/** Tells the other nodes that a session's status changed. */
export function announceStatus(mesh: Mesh, { key, epoch, status, statusSince }: Presence): void {
  mesh.nodes.toMesh(mesh.id, { t: 'status', key, epoch, status, ...(statusSince === undefined ? {} : { since: statusSince }) })
}
