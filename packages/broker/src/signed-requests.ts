import { lt } from 'drizzle-orm'
import { MeshError, times, type MeshId, type SessionPubkey } from '@claudemesh/protocol'
import type { Database } from './ports.ts'
import { signedRequest } from './tables.ts'

/** Takes a signed request once, whichever node of this store it came to. Throws `unauthorized` for one that was taken before. */
export async function takeOnce(db: Database, meshId: MeshId, { session, nonce }: { session: SessionPubkey; nonce: string }, now: number): Promise<void> {
  // Signed up to one skew ahead of us, it is fresh for two; the clock of another node may be off as well.
  const row = { meshId, sessionPubkey: session, nonce, until: now + 3 * times.skew }
  const [taken] = await db.insert(signedRequest).values(row).onConflictDoNothing().returning({ nonce: signedRequest.nonce })
  if (!taken) throw new MeshError('unauthorized', 'this request was taken before')
}

/** Forgets requests that are too old to be taken again. */
export async function sweepSignedRequests(db: Database, now: number): Promise<void> {
  await db.delete(signedRequest).where(lt(signedRequest.until, now))
}
