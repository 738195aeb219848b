import { and, eq, sql } from 'drizzle-orm'
import { times, type PresenceId, type SessionPubkey } from '@claudemesh/protocol'
import { offerMail } from './mail.ts'
import type { Kernel } from './kernel.ts'
import type { GoneReason, Mesh } from './mesh.ts'
import type { Presence } from './presence.ts'
import { rows } from './sql.ts'
import { presence as table } from './tables.ts'
import { settledColumns, type Settled } from './statements.ts'

/** A connection ended without a goodbye: its session stays a recipient until it is stale. */
export function disconnected(kernel: Kernel, mesh: Mesh, presence: Presence): void {
  const { key, epoch } = presence
  const at = kernel.clock.now()
  presence.link = undefined
  mesh.changed(presence)
  linger(kernel, mesh, presence, at)
  save(kernel, mesh, presence, { disconnectedAt: at }, () => mesh.nodes.toMesh(mesh.id, { t: 'away', key, epoch, at }))
}

const lookAgain = 5_000

/** Marks a presence stale once it has been without a connection for 90 s since `from`. */
export function linger(kernel: Kernel, mesh: Mesh, presence: Presence, from: number): void {
  presence.cancelLinger()
  presence.cancelLinger = kernel.clock.after(Math.max(0, from + times.stale - kernel.clock.now()), () => {
    if (presence.connected) return
    const now = kernel.clock.now()
    if (presence.silent !== undefined && kernel.nodes.leased(presence.silent, now)) {
      // It cannot be heard, but the store says that it runs.
      linger(kernel, mesh, presence, now - times.stale + lookAgain)
      return
    }
    kernel.log('info', 'presence_stale', { mesh: mesh.id, session: presence.key })
    mesh.remove(presence, 'stale')
    save(kernel, mesh, presence, { live: false }, () => offerMail(mesh, presence))
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
  const { key, epoch, id } = presence
  const at = kernel.clock.now()
  mesh.remove(presence, reason)
  presence.link = undefined
  presence.elsewhere = undefined
  kernel.writer.insist('end', async () => {
    // One statement: a session is not gone while its queue waits.
    const failed = await rows<Settled>(
      kernel.db,
      sql`with p as (update mesh.presence set live = false, disconnected_at = ${at}::bigint where mesh_id = ${mesh.id} and session_pubkey = ${key} and id = ${id})
        update mesh.delivery d set rung = 'failed', reason = ${why}, at = ${kernel.clock.now()}::bigint
        where d.mesh_id = ${mesh.id} and d.recipient_pubkey = ${key} and not d.mail and d.rung in ('stored', 'received') returning ${settledColumns}`,
    )
    mesh.nodes.toMesh(mesh.id, { t: 'gone', key, epoch, reason })
    offerMail(mesh, presence)
    tell(kernel, failed)
  })
}

/** Deliveries that reached a new rung: senders who are connected hear of it, and the counts of what left the queue go down. */
export function tell(kernel: Pick<Kernel, 'meshes' | 'meter'>, settled: readonly Settled[]): void {
  for (const row of settled) {
    kernel.meter.count('messages', row.rung)
    const mesh = kernel.meshes.peek(row.mesh_id)
    const session = row.mail ? undefined : mesh?.presences.get(row.recipient_pubkey as SessionPubkey)
    const recipient = session ?? mesh?.mailboxes.get(row.recipient_pubkey)
    const size = row.rung === 'received' ? 0 : row.size_bytes
    if (recipient && row.rung !== 'received') {
      recipient.unqueue(size)
      session?.link?.feed.taken(row.message_id)
    }
    const to = { sessionPubkey: row.recipient_pubkey as SessionPubkey, ...(row.mail ? { mail: true } : {}) }
    const reason = row.reason === null ? {} : { reason: row.reason }
    mesh?.delivered(row.sender_pubkey, { messageId: row.message_id, ...to, rung: row.rung, at: row.at, ...reason }, size)
  }
}

/** A hello was stored, but its connection ended before the answer: the row goes on as the presence in memory does, or ends. */
export function abandoned(kernel: Kernel, mesh: Mesh, row: { sessionPubkey: SessionPubkey; id: PresenceId; epoch: number }): void {
  const { sessionPubkey: key, id, epoch } = row
  const at = kernel.clock.now()
  const known = mesh.presences.get(key)
  if (known) Object.assign(known, { id, epoch })
  save(kernel, mesh, { key, id }, { live: known !== undefined, disconnectedAt: at }, () => mesh.nodes.toMesh(mesh.id, { t: 'away', key, epoch, at }))
}

/** Writes a change of the presence's row in its turn, unless a newer connection of the same session has taken it over. */
function save(kernel: Kernel, mesh: Mesh, presence: Pick<Presence, 'id' | 'key'>, change: Partial<typeof table.$inferInsert>, saved = () => {}): void {
  const { id, key } = presence
  kernel.writer.insist('presence', async () => {
    await kernel.db
      .update(table)
      .set(change)
      .where(and(eq(table.meshId, mesh.id), eq(table.sessionPubkey, key), eq(table.id, id)))
    saved()
  })
}
