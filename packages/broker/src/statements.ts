import { sql } from 'drizzle-orm'
import type { ClientId, MemberId, MeshId, MessageId, MemberPubkey, Priority, RecipientPubkey, Rung, SessionPubkey } from '@claudemesh/protocol'
import { column } from './sql.ts'
import type { Span } from './tracing.ts'

/** An envelope's part for one member. `holder` is the session it is pushed to at once. */
export interface Mailed {
  readonly member: MemberPubkey
  readonly wrap: string
  readonly holder: SessionPubkey | undefined
}

/** One envelope on its way into the store. `settled` is called once, after the commit: `known` when the id was stored before. */
export interface Entry {
  readonly meshId: MeshId
  readonly id: MessageId
  readonly clientId: ClientId
  readonly sender: SessionPubkey
  readonly senderMember: MemberId
  readonly targetSpec: string
  readonly priority: Priority
  readonly nonce: string
  readonly body: string
  readonly createdAt: number
  readonly recipients: readonly SessionPubkey[]
  /** As many as recipients, or none when the body is boxed for the single one. */
  readonly wraps: readonly string[]
  readonly mail: readonly Mailed[]
  /** The sending, where it is traced. */
  readonly span: Span | undefined
  settled(outcome: 'stored' | 'known' | Error): void
}

export interface Receipt {
  readonly meshId: MeshId
  readonly messageId: MessageId
  readonly recipient: RecipientPubkey
  readonly rung: 'received' | 'surfaced' | 'failed'
  readonly reason: string
  readonly at: number
}

/** A delivery that reached a new rung; on `received` it is still in the queue. */
export interface Settled {
  readonly mesh_id: MeshId
  readonly message_id: MessageId
  readonly recipient_pubkey: RecipientPubkey
  readonly mail: boolean
  readonly sender_pubkey: SessionPubkey
  readonly size_bytes: number
  readonly rung: Rung
  readonly reason: string | null
  readonly at: number
}

/** Columns of `Settled`, for statements that move deliveries to another rung. */
export const settledColumns = sql`d.mesh_id, d.message_id, d.recipient_pubkey, d.mail, d.sender_pubkey, d.size_bytes, d.rung, d.reason, d.at::float8 as at`

const absent = '-'

/** Messages with their deliveries as one insert; returns mesh id and message id, joined, of those that were new. */
// Deliveries are not joined to the messages that were new, which would cost a third: those of a repeat exist already, and those of a conflict are taken back (repeat.ts).
export function insertStatement(entries: readonly Entry[]) {
  const meshes: string[] = []
  const ids: string[] = []
  const recipients: string[] = []
  const wraps: string[] = []
  const senders: string[] = []
  const sizes: number[] = []
  const times: number[] = []
  for (const entry of entries) {
    for (const [i, recipient] of entry.recipients.entries()) {
      meshes.push(entry.meshId)
      ids.push(entry.id)
      recipients.push(recipient)
      wraps.push(entry.wraps[i] ?? absent)
      senders.push(entry.sender)
      sizes.push(entry.body.length)
      times.push(entry.createdAt)
    }
  }
  const of = (pick: (entry: Entry) => string | number) => column(entries.map((entry) => pick(entry)))
  return sql`
    with m as (
      insert into mesh.message (mesh_id, id, client_id, sender_pubkey, sender_member_id, target_spec, priority, nonce, ciphertext, created_at)
      select * from unnest(${of((e) => e.meshId)}, ${of((e) => e.id)}, ${of((e) => e.clientId)}, ${of((e) => e.sender)}, ${of((e) => e.senderMember)},
        ${of((e) => e.targetSpec)}, ${of((e) => e.priority)}, ${of((e) => e.nonce)}, ${of((e) => e.body)}, ${of((e) => e.createdAt)}::bigint[])
      on conflict do nothing returning mesh_id, id
    ), d as (
      insert into mesh.delivery (mesh_id, message_id, recipient_pubkey, sender_pubkey, wrap, size_bytes, rung, at)
      select mesh_id, id, recipient, sender, nullif(wrap, ${absent}), size, 'stored', at
      from unnest(${column(meshes)}, ${column(ids)}, ${column(recipients)}, ${column(senders)}, ${column(wraps)}, ${column(sizes)}::int[], ${column(times)}::bigint[])
        as r(mesh_id, id, recipient, sender, wrap, size, at)
      on conflict do nothing
    )${mailInsert(entries)}
    select mesh_id || id as key from m`
}

/** Mail is rare: its columns cost nothing where there is none. */
function mailInsert(entries: readonly Entry[]) {
  const all = entries.flatMap((entry) => entry.mail.map((one) => ({ entry, one })))
  if (all.length === 0) return sql``
  const of = (pick: (part: (typeof all)[number]) => string | number) => column(all.map((part) => pick(part)))
  return sql`, l as (
      insert into mesh.delivery (mesh_id, message_id, recipient_pubkey, mail, holder, sender_pubkey, wrap, size_bytes, rung, at)
      select mesh_id, id, recipient, true, nullif(holder, ${absent}), sender, wrap, size, 'stored', at
      from unnest(${of(({ entry }) => entry.meshId)}, ${of(({ entry }) => entry.id)}, ${of(({ one }) => one.member)}, ${of(({ one }) => one.holder ?? absent)},
        ${of(({ entry }) => entry.sender)}, ${of(({ one }) => one.wrap)}, ${of(({ entry }) => entry.body.length)}::int[], ${of(({ entry }) => entry.createdAt)}::bigint[])
        as r(mesh_id, id, recipient, holder, sender, wrap, size, at)
      on conflict do nothing
    )`
}

const height = { received: 0, surfaced: 1, failed: 1 } as const

/** One receipt per delivery: an update takes one row of several at random. Of what leaves the queue the first word counts. */
function highest(receipts: readonly Receipt[]): Receipt[] {
  const best = new Map<string, Receipt>()
  for (const receipt of receipts) {
    const key = receipt.meshId + receipt.messageId + receipt.recipient
    const known = best.get(key)
    if (!known || height[receipt.rung] > height[known.rung]) best.set(key, receipt)
  }
  return [...best.values()]
}

/** Receipts as one update: a rung is only left upwards, or for a failure, while the message is queued. Returns the deliveries that changed. */
export function receiptStatement(all: readonly Receipt[]) {
  const receipts = highest(all)
  const of = (pick: (receipt: Receipt) => string | number) => column(receipts.map((receipt) => pick(receipt)))
  return sql`
    update mesh.delivery d set rung = r.rung, reason = nullif(r.reason, ${absent}), at = r.at,
      received_at = case when r.rung = 'failed' then d.received_at else coalesce(d.received_at, r.at) end
    from unnest(${of((r) => r.meshId)}, ${of((r) => r.messageId)}, ${of((r) => r.recipient)}, ${of((r) => r.rung)}, ${of((r) => r.reason || absent)}, ${of((r) => r.at)}::bigint[])
      as r(mesh_id, message_id, recipient, rung, reason, at)
    where d.mesh_id = r.mesh_id and d.message_id = r.message_id and d.recipient_pubkey = r.recipient and (d.rung = 'stored' or (d.rung = 'received' and r.rung <> 'received'))
    returning ${settledColumns}`
}
