import { closeCodes, MeshError } from '@claudemesh/protocol'
import type { Kernel } from './kernel.ts'
import { linger } from './lifecycle.ts'
import type { Mesh } from './mesh.ts'
import type { NodeId, ToldPresence } from './parcels.ts'
import { Presence } from './presence.ts'
import type { presence as table } from './tables.ts'

/** A session as another node or the store tells of it, unless the connection known here is as new: connected at that node, or away since `away`. */
export function take(kernel: Kernel, mesh: Mesh, told: ToldPresence, where: NodeId | { readonly away: number }): void {
  const known = mesh.presences.get(told.key)
  if (known && (known.epoch > told.epoch || (known.link && known.epoch === told.epoch))) return
  known?.link?.session.refuse(new MeshError('replaced'), closeCodes.replaced)
  const chain = kernel.chains.share(told.chain)
  const presence = known ?? new Presence({ ...told, chain })
  mesh.unindex(presence)
  presence.cancelLinger()
  presence.id = told.id
  presence.epoch = told.epoch
  presence.chain = chain
  presence.expiresAt = told.expiresAt
  presence.signed = told.signed
  presence.status = told.status
  presence.statusSince = told.statusSince
  presence.elsewhere = typeof where === 'string' ? where : undefined
  presence.silent = undefined
  // Not told: at its end its mail is offered in any case.
  presence.showsMail = true
  mesh.put(presence)
  if (typeof where !== 'string') linger(kernel, mesh, presence, where.away)
}

/** Its row in the same words. */
export function toldBy(row: typeof table.$inferSelect): ToldPresence {
  const { sessionPubkey: key, presence: token, seq, groups } = row
  return { ...row, key, signed: { token, seq, groups } }
}

/** Where a row says that its session is, as far as this node can believe it. */
export function placeOf(kernel: Kernel, row: { readonly node: NodeId | null; readonly disconnectedAt: number | null }): NodeId | { readonly away: number } {
  if (row.disconnectedAt === null && row.node !== null && kernel.nodes.holds(row.node, kernel.clock.now())) return row.node
  // Those who were connected when their broker went down had no chance to come back before this one started.
  return { away: Math.max(row.disconnectedAt ?? 0, kernel.startedAt) }
}

/** Its connection at another node has ended: it stays a recipient until it is stale. */
export function away(kernel: Kernel, mesh: Mesh, presence: Presence, at: number): void {
  presence.elsewhere = undefined
  mesh.changed(presence)
  linger(kernel, mesh, presence, at)
}
