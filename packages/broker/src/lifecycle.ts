import { and, eq, sql } from 'drizzle-orm'
import { times, type PresenceId, type SessionPubkey } from '@claudemesh/protocol'
import type { Kernel } from './kernel.ts'
import type { GoneReason, Mesh } from './mesh.ts'
import type { Presence } from './presence.ts'
import { rows } from './sql.ts'
import { presence as table } from './tables.ts'
import { settledColumns, type Settled } from './statements.ts'

/** A connection ended without a goodbye: its session stays a recipient until it is stale. */
export function disconnected(kernel: Kernel, mesh: Mesh, presence: Presence): void {
  presence.link = undefined
  mesh.changed(presence)
  linger(kernel, mesh, presence, kernel.clock.now())
  save(kernel, mesh, presence, { disconnectedAt: kernel.clock.now() })
}

/** Marks a presence stale once it has been without a connection for 90 s since `from`. */
export function linger(kernel: Kernel, mesh: Mesh, presence: Presence, from: number): void {
  presence.cancelLinger()
  presence.cancelLinger = kernel.clock.after(Math.max(0, from + times.stale - kernel.clock.now()), () => {
    if (presence.link) return
    kernel.log('info', 'presence_stale', { mesh: mesh.id, session: presence.key })
    mesh.remove(presence, 'stale')
    save(kernel, mesh, presence, { live: false })
  })
}

/** A presence ends for good: what is queued for it fails, and the senders are told. */
export function end(
  kernel: Kernel,
  mesh: Mesh,
  presence: Presence,
  reason: Exclude<GoneReason, 'stale'>,
  why = reason === 'left' ? 'recipient_gone' : 'revoked',
): void {
  mesh.remove(presence, reason)
  presence.link = undefined
  save(kernel, mesh, presence, { live: false, disconnectedAt: kernel.clock.now() })
  kernel.writer
    .after(async () => {
      const failed = await rows<Settled>(
        kernel.db,
        sql`update mesh.delivery d set rung = 'failed', reason = ${why}, at = ${kernel.clock.now()}::bigint
          where d.mesh_id = ${mesh.id} and d.recipient_pubkey = ${presence.key} and d.rung in ('stored', 'received') returning ${settledColumns}`,
      )
      tell(kernel, failed)
    })
    .catch((error: unknown) => kernel.log('error', 'store_failed', { what: 'end', cause: String(error) }))
}

/** Deliveries that reached a new rung: senders who are connected hear of it, and the counts of what left the queue go down. */
export function tell(kernel: Pick<Kernel, 'meshes'>, settled: readonly Settled[]): void {
  for (const row of settled) {
    const mesh = kernel.meshes.peek(row.mesh_id)
    const recipient = mesh?.presences.get(row.recipient_pubkey)
    if (recipient && row.rung !== 'received') {
      recipient.queued.count--
      recipient.queued.bytes -= row.size_bytes
      recipient.link?.feed.taken(row.message_id)
    }
    mesh?.delivered(row.sender_pubkey, {
      messageId: row.message_id,
      sessionPubkey: row.recipient_pubkey,
      rung: row.rung,
      at: row.at,
      ...(row.reason === null ? {} : { reason: row.reason }),
    })
  }
}

/** A hello was stored, but its connection ended before the answer: the row goes on as the presence in memory does, or ends. */
export function abandoned(kernel: Kernel, mesh: Mesh, row: { sessionPubkey: SessionPubkey; id: PresenceId }): void {
  const known = mesh.presences.get(row.sessionPubkey)
  if (known) known.id = row.id
  save(kernel, mesh, { key: row.sessionPubkey, id: row.id }, { live: known !== undefined, disconnectedAt: kernel.clock.now() })
}

/** Writes a change of the presence's row in its turn, unless a newer connection of the same session has taken it over. */
function save(kernel: Kernel, mesh: Mesh, presence: Pick<Presence, 'id' | 'key'>, change: Partial<typeof table.$inferInsert>): void {
  const { id, key } = presence
  kernel.writer
    .after(async () => {
      await kernel.db
        .update(table)
        .set(change)
        .where(and(eq(table.meshId, mesh.id), eq(table.sessionPubkey, key), eq(table.id, id)))
    })
    .catch((error: unknown) => kernel.log('error', 'store_failed', { what: 'presence', cause: String(error) }))
}
