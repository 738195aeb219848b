import { and, eq } from 'drizzle-orm'
import { MeshError, times, type contract, type Input, type MessageId, type Output, type RecipientPubkey, type SessionPubkey } from '@claudemesh/protocol'
import type { Ready } from './kernel.ts'
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
    .where(and(eq(delivery.meshId, mesh.id), eq(delivery.messageId, messageId)))
  return { stored, had: new Set<RecipientPubkey>(before.map((row) => row.key)) }
}

/** Stores the deliveries in their turn; the recipients for whom there was none yet. */
async function add(
  { kernel, mesh, me }: Ready,
  { id: messageId, ciphertext }: { id: MessageId; ciphertext: string },
  { recipients, wraps }: Routed,
  at: number,
): Promise<ReadonlySet<RecipientPubkey>> {
  if (recipients.length === 0) return new Set()
  const rows = recipients.map((recipient, i) => ({
    meshId: mesh.id,
    messageId,
    recipientPubkey: recipient.key,
    senderPubkey: me.key,
    wrap: wraps[i] ?? null,
    sizeBytes: ciphertext.length,
    rung: 'stored' as const,
    at,
  }))
  for (const recipient of recipients) recipient.enqueue(ciphertext.length)
  const added = new Set<RecipientPubkey>()
  try {
    const { recipientPubkey: key } = delivery
    for (const row of await kernel.writer.after(async () => kernel.db.insert(delivery).values(rows).onConflictDoNothing().returning({ key })))
      added.add(row.key)
    return added
  } finally {
    for (const recipient of recipients) if (!added.has(recipient.key)) recipient.unqueue(ciphertext.length)
  }
}
