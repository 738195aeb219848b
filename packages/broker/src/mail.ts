import { and, eq, inArray, sql } from 'drizzle-orm'
import { memberIdOf } from '@claudemesh/crypto'
import { MeshError, type MemberPubkey, type MeshId, type SessionPubkey } from '@claudemesh/protocol'
import { verifyIn } from './chains.ts'
import type { Kernel } from './kernel.ts'
import { tell } from './lifecycle.ts'
import type { Mesh } from './mesh.ts'

import type { Database } from './ports.ts'
import type { Presence } from './presence.ts'
import { queueOf, type Queued } from './queues.ts'
import { rows } from './sql.ts'
import { settledColumns, type Settled } from './statements.ts'
import { delivery, inQueue, member } from './tables.ts'

/** A member as a recipient of mail. */
export class Mailbox {
  readonly key: MemberPubkey
  readonly chain: readonly string[]
  /** What waits for it, bounded as a session's queue is. */
  queued: Queued

  constructor(key: MemberPubkey, chain: readonly string[], queued: Queued) {
    this.key = key
    this.chain = chain
    this.queued = queued
  }

  enqueue(bytes: number): void {
    this.queued.count++
    this.queued.bytes += bytes
  }

  unqueue(bytes: number): void {
    this.queued.count = Math.max(0, this.queued.count - 1)
    this.queued.bytes = Math.max(0, this.queued.bytes - bytes)
  }
}

/** The mailboxes of those keys that are members and not revoked. */
export async function openMailboxes(kernel: Kernel, mesh: Mesh, keys: readonly MemberPubkey[]): Promise<ReadonlyMap<MemberPubkey, Mailbox>> {
  await load(
    kernel,
    mesh,
    // What other nodes take and give is not counted here.
    keys.filter((key) => !kernel.nodes.alone || !mesh.mailboxes.has(key)),
  )
  const open = keys.flatMap((key) => mesh.mailboxes.get(key) ?? []).filter((box) => !isRevoked(kernel, mesh, box.chain))
  return new Map(open.map((box) => [box.key, box]))
}

async function load(kernel: Kernel, mesh: Mesh, keys: readonly MemberPubkey[]): Promise<void> {
  if (keys.length === 0) return
  const ids = keys.map((key) => memberIdOf(mesh.id, key))
  const found = await kernel.db
    .select({ key: member.pubkey, chain: member.chain })
    .from(member)
    .where(and(eq(member.meshId, mesh.id), inArray(member.id, ids)))
  for (const { key, chain } of found) {
    const queued = await queueOf(kernel.db, mesh.id, key)
    if (!kernel.nodes.alone || !mesh.mailboxes.has(key)) mesh.mailboxes.set(key, new Mailbox(key, chain, queued))
  }
}

function isRevoked(kernel: Kernel, mesh: Mesh, chain: readonly string[]): boolean {
  try {
    verifyIn(kernel, mesh, 'member', chain)
    return false
  } catch (error) {
    if (error instanceof MeshError) return true
    throw error
  }
}

/** The session that gets a member's mail at once: of those connected that show mail, the one that came last. */
export function holderFor(mesh: Mesh, key: MemberPubkey, except?: Presence): Presence | undefined {
  return [...mesh.presences.values()].findLast((p) => p.showsMail && p.link !== undefined && p.memberPubkey === key && p !== except)
}

/** A session has ended: what it held goes to another of the same member, or waits for the next. */
export function offerMail(mesh: Mesh, ended: Presence): void {
  if (!ended.showsMail) return
  const heir = holderFor(mesh, ended.memberPubkey, ended)
  if (heir) heir.link?.feed.again()
  else mesh.nodes.toMesh(mesh.id, { t: 'mail', member: ended.memberPubkey })
}

/** Makes this session the holder of its member's mail that no live session holds. */
export async function claimMail(db: Database, mesh: MeshId, key: MemberPubkey, me: SessionPubkey): Promise<void> {
  await db
    .update(delivery)
    .set({ holder: me })
    .where(
      and(
        eq(delivery.meshId, mesh),
        eq(delivery.recipientPubkey, key),
        eq(delivery.mail, true),
        inQueue,
        sql`(${delivery.holder} is null or not exists (select 1 from mesh.presence p
          where p.mesh_id = ${delivery.meshId} and p.session_pubkey = ${delivery.holder} and p.live))`,
      ),
    )
}

/** Fails the mail of members whom the policy in force revokes. */
export async function failRevokedMail(kernel: Kernel, mesh: Mesh): Promise<void> {
  await kernel.writer.settled()
  const waiting = await kernel.db
    .selectDistinct({ key: member.pubkey, chain: member.chain })
    .from(delivery)
    .innerJoin(member, and(eq(member.meshId, delivery.meshId), eq(member.pubkey, sql`${delivery.recipientPubkey}`)))
    .where(and(eq(delivery.meshId, mesh.id), eq(delivery.mail, true), inQueue))
  for (const { key } of waiting.filter(({ chain }) => isRevoked(kernel, mesh, chain))) {
    const failed = await rows<Settled>(
      kernel.db,
      sql`update mesh.delivery d set rung = 'failed', reason = 'revoked', at = ${kernel.clock.now()}::bigint
        where d.mesh_id = ${mesh.id} and d.recipient_pubkey = ${key} and d.mail and d.rung in ('stored', 'received') returning ${settledColumns}`,
    )
    tell(kernel, failed)
  }
}
