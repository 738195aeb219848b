import { and, eq, sql } from 'drizzle-orm'
import { MeshError, times, type contract, type Input, type MessageId, type Output, type RecipientPubkey, type SessionPubkey } from '@claudemesh/protocol'
import type { Ready } from './kernel.ts'
import type { Database } from './ports.ts'
import { peerTable } from './presence.ts'
import { pushHead, tailOf } from './push.ts'
import { parseRecipients } from './recipients.ts'
import { relay } from './relay.ts'
import { route, routesOf, type Routed } from './route.ts'
import { delivery, message } from './tables.ts'

type SendMore = typeof contract.messages.sendMore

/** Adds recipients to a stored message of this session: counted as those of a new one are, and pushed once their deliveries are stored. */
export async function topUp(context: Ready, { messageId, to, wraps }: Input<SendMore>): Promise<Output<SendMore>> {
  const { kernel, mesh, me } = context
  const named = parseRecipients(me.key, to, wraps)
  const { stored, had } = await storedOf(context, messageId)
  const fresh = {
    keys: named.keys.filter((key) => !had.has(key)),
    wraps: named.wraps.filter((_, i) => !had.has(named.keys[i] as SessionPubkey)),
  }
  const routed = route(mesh, me, routesOf(JSON.parse(stored.targetSpec) as string | string[]), fresh, stored.ciphertext.length)
  const now = kernel.clock.now()
  if (routed.recipients.length > 0) kernel.limiter.spend(context, now, 'recipients', routed.recipients.length)
  const added = await add(context, stored, routed, now)
  // Not before: the receipt for a push may come to its turn before what stores the delivery, and would meet nothing.
  const [head, tail] = [pushHead(mesh.id, { ...stored, messageId, id: stored.clientId }), tailOf(stored.ciphertext)]
  const bytes = Buffer.from(tail, 'latin1')
  for (const [i, { key, link }] of routed.recipients.entries()) if (added.has(key)) link?.feed.push(messageId, head, routed.wraps[i], bytes)
  relay(context, routed.recipients, routed.wraps, () => ({ id: messageId, head, tail }))
  for (const { key } of routed.full) mesh.delivered(me.key, { messageId, sessionPubkey: key, rung: 'failed', at: now, reason: 'queue_full' })
  const { peers, tokens } = peerTable(routed.missing.filter((presence) => !had.has(presence.key)))
  return { messageId, queued: routed.recipients.length + named.keys.length - fresh.keys.length, missing: peers, tokens, gone: [...routed.gone] }
}

async function storedOf({ kernel, mesh, me }: Ready, messageId: MessageId) {
  await kernel.writer.settled()
  const [stored] = await kernel.db
    .select()
    .from(message)
    .where(and(eq(message.meshId, mesh.id), eq(message.id, messageId), eq(message.senderPubkey, me.key)))
  if (!stored) throw new MeshError('not_found')
  if (kernel.clock.now() - stored.createdAt > times.topUp) throw new MeshError('top_up_closed')
  const before = await kernel.db
    .select({ key: delivery.recipientPubkey })
    .from(delivery)
    .where(and(eq(delivery.meshId, mesh.id), eq(delivery.messageId, messageId), sql`${delivery.reason} is distinct from 'queue_full'`))
  return { stored, had: new Set<RecipientPubkey>(before.map((row) => row.key)) }
}

/** Stores the deliveries in their turn, those without room as failed; the recipients for whom there was none yet, or no room. */
async function add(
  { kernel, mesh, me }: Ready,
  { id: messageId, ciphertext }: { id: MessageId; ciphertext: string },
  { recipients, wraps, full }: Routed,
  at: number,
): Promise<ReadonlySet<RecipientPubkey>> {
  if (recipients.length + full.length === 0) return new Set()
  const common = { meshId: mesh.id, messageId, senderPubkey: me.key, sizeBytes: ciphertext.length, at }
  const rows = [
    ...recipients.map(({ key }, i) => ({ ...common, recipientPubkey: key, wrap: wraps[i] ?? null, rung: 'stored' as const })),
    ...full.map(({ key }) => ({ ...common, recipientPubkey: key, rung: 'failed' as const, reason: 'queue_full' })),
  ]
  for (const recipient of recipients) recipient.enqueue(ciphertext.length)
  const added = new Set<RecipientPubkey>()
  try {
    for (const { key, rung } of await kernel.writer.after(() => insert(kernel.db, rows))) if (rung === 'stored') added.add(key)
    return added
  } finally {
    for (const recipient of recipients) if (!added.has(recipient.key)) recipient.unqueue(ciphertext.length)
  }
}

/** A recipient that had no room before is tried anew. */
async function insert(db: Database, rows: (typeof delivery.$inferInsert)[]) {
  const { messageId, recipientPubkey: key, meshId, rung, reason } = delivery
  return db
    .insert(delivery)
    .values(rows)
    .onConflictDoUpdate({
      target: [messageId, key, meshId],
      set: { wrap: sql`excluded.wrap`, rung: sql`excluded.rung`, reason: sql`excluded.reason`, at: sql`excluded.at` },
      setWhere: eq(reason, 'queue_full'),
    })
    .returning({ key, rung })
}
