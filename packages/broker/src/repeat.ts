import { and, eq } from 'drizzle-orm'
import { MeshError, type ClientId, type MessageId, type Priority, type RecipientPubkey } from '@claudemesh/protocol'
import { ackText } from './ack.ts'
import { same } from './conflicts.ts'
import { routesOf } from './route.ts'
import type { Ready } from './kernel.ts'
import { missing } from './recipients.ts'
import { delivery, message } from './tables.ts'

/** The answer to a send whose id was stored before: the same again, nothing is stored or pushed. Throws `id_conflict` when the content differs. */
export async function repeatedAck(
  { kernel, mesh, me }: Ready,
  id: MessageId,
  sent: { id: ClientId; targetSpec: string; priority: Priority; nonce: string; body: string },
): Promise<string> {
  await kernel.writer.settled()
  const [known] = await kernel.db
    .select()
    .from(message)
    .where(and(eq(message.meshId, mesh.id), eq(message.id, id)))
  // The attempt before was not stored, and recipients may have been pushed it: it is to come again, as it was.
  if (!known) throw new MeshError('storage_unavailable')
  if (!same(sent, { ...known, target_spec: known.targetSpec })) throw new MeshError('id_conflict')
  const deliveries = await kernel.db
    .select({ key: delivery.recipientPubkey, reason: delivery.reason })
    .from(delivery)
    .where(and(eq(delivery.meshId, mesh.id), eq(delivery.messageId, id)))
  const wrapped = new Set<RecipientPubkey>(deliveries.map((row) => row.key))
  const routes = JSON.parse(known.targetSpec) as string | string[]
  const queued = deliveries.filter(({ reason }) => reason !== 'queue_full').length
  return ackText(sent.id, id, queued, false, missing(mesh, me, routesOf(routes), wrapped), [])
}
