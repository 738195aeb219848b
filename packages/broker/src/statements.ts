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

/** What became of an envelope: stored, not stored, or `known` where its id was stored before, with those whose deliveries were taken back because it says something else. */
export type Outcome = 'stored' | Known | Error

export interface Known {
  readonly takenBack: ReadonlySet<RecipientPubkey>
}

/** One envelope on its way into the store. `settled` is called once, after the commit. */
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
  /** Those without room in their queue: for the sender to see, sessions and, as mail, members. */
  readonly full: readonly { readonly key: RecipientPubkey; readonly mail: boolean }[]
  /** The sending, where it is traced. */
  readonly span: Span | undefined
  /** What recipients said of it while it waited. */
  early: Map<RecipientPubkey, Receipt> | undefined
  settled(outcome: Outcome): void
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

/** Stands for nothing in a column. */
export const absent = '-'

/** A message's way to one recipient. */
export interface Part {
  readonly entry: Entry
  readonly recipient: RecipientPubkey
  readonly wrap: string | undefined
  /** Of mail: the session that holds it. */
  readonly mail: { readonly holder: SessionPubkey | undefined } | undefined
  /** What the recipient said of it already. */
  readonly early: Receipt | undefined
}

/** Its ways to each of its recipients, those without room last. */
export function partsOf(entry: Entry): Part[] {
  const { recipients, wraps, mail, early } = entry
  const parts: Part[] = recipients.map((recipient, i) => ({ entry, recipient, wrap: wraps[i], mail: undefined, early: early?.get(recipient) }))
  for (const one of mail) parts.push({ entry, recipient: one.member, wrap: one.wrap, mail: one, early: early?.get(one.member) })
  for (const { key, mail } of entry.full) parts.push({ entry, recipient: key, wrap: undefined, mail: mail ? unheld : undefined, early: refusal(entry, key) })
  return parts
}

const unheld = { holder: undefined }

const refusal = ({ meshId, id, createdAt }: Entry, recipient: RecipientPubkey): Receipt => ({
  meshId,
  messageId: id,
  recipient,
  rung: 'failed',
  reason: 'queue_full',
  at: createdAt,
})

/** Messages with their deliveries as one insert; returns mesh id and message id, joined, of those that were new. */
// Deliveries are not joined to the messages that were new, which would cost a third: those of a repeat exist already, and those of a conflict are taken back (conflicts.ts).
export function insertStatement(entries: readonly Entry[]) {
  const of = (pick: (entry: Entry) => string | number) => column(entries.map((entry) => pick(entry)))
  return sql`
    with m as (
      insert into mesh.message (mesh_id, id, client_id, sender_pubkey, sender_member_id, target_spec, priority, nonce, ciphertext, created_at)
      select * from unnest(${of((e) => e.meshId)}, ${of((e) => e.id)}, ${of((e) => e.clientId)}, ${of((e) => e.sender)}, ${of((e) => e.senderMember)},
        ${of((e) => e.targetSpec)}, ${of((e) => e.priority)}, ${of((e) => e.nonce)}, ${of((e) => e.body)}, ${of((e) => e.createdAt)}::bigint[])
      on conflict do nothing returning mesh_id, id
    )${deliveryInsert(entries.flatMap(partsOf))}
    select mesh_id || id as key from m`
}

function deliveryInsert(parts: readonly Part[]) {
  if (parts.length === 0) return sql``
  const of = (pick: (part: Part) => string | number) => column(parts.map((part) => pick(part)))
  // Mail is rare: its columns cost nothing where there is none.
  const mail = parts.some((part) => part.mail)
  return sql`, d as (
      insert into mesh.delivery (mesh_id, message_id, recipient_pubkey, sender_pubkey, wrap, size_bytes, rung, reason, at, received_at${mail ? sql`, mail, holder` : sql``})
      select mesh_id, id, recipient, sender, nullif(wrap, ${absent}), size, rung, nullif(reason, ${absent}), at,
        case when rung in ('received', 'surfaced') then at end${mail ? sql`, mail, nullif(holder, ${absent})` : sql``}
      from unnest(${of(({ entry }) => entry.meshId)}, ${of(({ entry }) => entry.id)}, ${of(({ recipient }) => recipient)}, ${of(({ entry }) => entry.sender)},
        ${of(({ wrap }) => wrap ?? absent)}, ${of(({ entry }) => entry.body.length)}::int[], ${of(({ early }) => early?.rung ?? 'stored')},
        ${of(({ early }) => early?.reason || absent)}, ${of(({ early, entry }) => early?.at ?? entry.createdAt)}::bigint[]${
          mail ? sql`, ${of((part) => (part.mail ? 't' : 'f'))}::boolean[], ${of((part) => part.mail?.holder ?? absent)}` : sql``
        }) as r(mesh_id, id, recipient, sender, wrap, size, rung, reason, at${mail ? sql`, mail, holder` : sql``})
      on conflict do nothing
    )`
}

/** The deliveries of a message that was new which were stored above the first rung. */
export function settledEarly(entry: Entry): Settled[] {
  if (!entry.early) return []
  return partsOf(entry).flatMap(({ recipient, mail, early }) =>
    early && entry.early?.get(recipient) === early
      ? {
          mesh_id: entry.meshId,
          message_id: entry.id,
          recipient_pubkey: recipient,
          mail: mail !== undefined,
          sender_pubkey: entry.sender,
          size_bytes: entry.body.length,
          rung: early.rung,
          reason: early.reason || null,
          at: early.at,
        }
      : [],
  )
}

const height = { received: 0, surfaced: 1, failed: 1 } as const

/** Whether a receipt says more than another of the same delivery. Of what leaves the queue the first word counts. */
export const outranks = (receipt: Receipt, known: Receipt): boolean => height[receipt.rung] > height[known.rung]

/** One receipt per delivery: an update takes one row of several at random. */
function highest(receipts: readonly Receipt[]): Receipt[] {
  const best = new Map<string, Receipt>()
  for (const receipt of receipts) {
    const key = receipt.meshId + receipt.messageId + receipt.recipient
    const known = best.get(key)
    if (!known || outranks(receipt, known)) best.set(key, receipt)
  }
  return [...best.values()]
}

/** Receipts as one update: a rung is only left upwards, or for a failure, while the message is queued. Returns the deliveries that changed. */
// The rung is compared in a form that matches no index: for some hundred receipts planners would rather read every queue than the primary key.
export function receiptStatement(all: readonly Receipt[]) {
  const receipts = highest(all)
  const of = (pick: (receipt: Receipt) => string | number) => column(receipts.map((receipt) => pick(receipt)))
  return sql`
    update mesh.delivery d set rung = r.rung, reason = nullif(r.reason, ${absent}), at = r.at,
      received_at = case when r.rung = 'failed' then d.received_at else coalesce(d.received_at, r.at) end
    from unnest(${of((r) => r.meshId)}, ${of((r) => r.messageId)}, ${of((r) => r.recipient)}, ${of((r) => r.rung)}, ${of((r) => r.reason || absent)}, ${of((r) => r.at)}::bigint[])
      as r(mesh_id, message_id, recipient, rung, reason, at)
    where d.mesh_id = r.mesh_id and d.message_id = r.message_id and d.recipient_pubkey = r.recipient
      and case d.rung when 'stored' then true when 'received' then r.rung <> 'received' else false end
    returning ${settledColumns}`
}
