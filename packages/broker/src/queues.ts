import { and, eq, inArray, sql } from 'drizzle-orm'
import type { MeshId, RecipientPubkey } from '@claudemesh/protocol'
import type { Database } from './ports.ts'
import { delivery, inQueue } from './tables.ts'

export interface Queued {
  count: number
  bytes: number
}

/** What the durable queue holds for a session, or as mail for a member. */
export async function queueOf(db: Database, mesh: MeshId, session: RecipientPubkey): Promise<Queued> {
  return (await queuesOf(db, mesh, [session])).get(session) ?? { count: 0, bytes: 0 }
}

/** What the durable queue holds for each of these sessions of a mesh; those without anything are not listed. */
export async function queuesOf(db: Database, mesh: MeshId, sessions: readonly RecipientPubkey[]): Promise<Map<RecipientPubkey, Queued>> {
  if (sessions.length === 0) return new Map()
  const found = await db
    .select({
      key: delivery.recipientPubkey,
      count: sql<number>`count(*)::int`,
      bytes: sql<number>`coalesce(sum(${delivery.sizeBytes}), 0)::float8`,
    })
    .from(delivery)
    .where(and(eq(delivery.meshId, mesh), inArray(delivery.recipientPubkey, [...sessions]), inQueue))
    .groupBy(delivery.recipientPubkey)
  return new Map(found.map(({ key, count, bytes }) => [key, { count, bytes }]))
}
