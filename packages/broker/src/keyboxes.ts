import { and, desc, eq, gt, inArray, lt, ne, sql } from 'drizzle-orm'
import type { Epoch } from '@claudemesh/crypto'
import { MeshError, type InvitePubkey, type MemberPubkey, type MeshId } from '@claudemesh/protocol'
import type { Mesh } from './mesh.ts'
import type { Database } from './ports.ts'
import * as tables from './tables.ts'

const { keybox } = tables

/** A box as it is stored. */
export type KeyboxRow = typeof keybox.$inferInsert

/** The row of a box of the key in force. Throws `policy_conflict` for a box of another key. */
export function currentKeybox(
  mesh: Mesh,
  box: { readonly mk: string; readonly n: string; readonly c: string },
  o: { readonly reader: MemberPubkey | InvitePubkey; readonly by: MemberPubkey; readonly now: number },
): KeyboxRow {
  const { epoch } = mesh.policy.body
  if (epoch?.mk !== box.mk) throw new MeshError('policy_conflict', 'the mesh key was changed meanwhile; fetch the policy and try again')
  return { meshId: mesh.id, mk: box.mk, epoch: epoch.number, reader: o.reader, by: o.by, nonce: box.n, ciphertext: box.c, createdAt: o.now }
}

/** Stores boxes; each replaces the one that the same member made for the same reader. */
export async function putKeyboxes(db: Database, boxes: readonly KeyboxRow[]): Promise<void> {
  const excluded = (column: string) => sql.raw(`excluded.${column}`)
  await db
    .insert(keybox)
    .values([...boxes])
    .onConflictDoUpdate({
      target: [keybox.meshId, keybox.mk, keybox.reader, keybox.by],
      set: { epoch: excluded('epoch'), nonce: excluded('nonce'), ciphertext: excluded('ciphertext'), createdAt: excluded('created_at') },
    })
}

/** The boxes of the key in force for a reader; its own first. */
export async function keyboxesFor(db: Database, mesh: MeshId, { mk }: Epoch, reader: MemberPubkey | InvitePubkey) {
  const found = await db
    .select({ e: keybox.epoch, n: keybox.nonce, c: keybox.ciphertext, by: keybox.by })
    .from(keybox)
    .where(and(eq(keybox.meshId, mesh), eq(keybox.mk, mk), eq(keybox.reader, reader)))
  return found.toSorted((a, b) => Number(String(b.by) === reader) - Number(String(a.by) === reader))
}

/** The boxes of the key in force for whoever holds an invite that still admits. */
export async function keyboxesForInvite(db: Database, meshId: MeshId, pubkey: InvitePubkey, now: number) {
  const { epoch, invite } = tables
  const current = db.select({ mk: epoch.mk }).from(epoch).where(eq(epoch.meshId, meshId)).orderBy(desc(epoch.number)).limit(1)
  return db
    .select({ e: keybox.epoch, n: keybox.nonce, c: keybox.ciphertext, by: keybox.by })
    .from(keybox)
    .innerJoin(invite, and(eq(invite.meshId, keybox.meshId), eq(invite.pubkey, keybox.reader)))
    .where(and(eq(keybox.meshId, meshId), eq(keybox.reader, pubkey), inArray(keybox.mk, current), lt(invite.used, invite.max), gt(invite.expiresAt, now)))
}

/** What others boxed for a reader that has a box of its own now. */
export async function forgetOthers(db: Database, mesh: MeshId, reader: MemberPubkey): Promise<void> {
  await db.delete(keybox).where(and(eq(keybox.meshId, mesh), eq(keybox.reader, reader), ne(keybox.by, reader)))
}

/** The boxes of readers who may not read any more. */
export async function forgetReaders(db: Database, mesh: MeshId, readers: readonly string[]): Promise<void> {
  if (readers.length > 0) await db.delete(keybox).where(and(eq(keybox.meshId, mesh), inArray(keybox.reader, readers as MemberPubkey[])))
}

/** Takes note of an epoch that begins, and keeps the boxes of its key alone. */
export async function beginEpoch(db: Database, mesh: MeshId, epoch: Epoch, now: number): Promise<void> {
  await db.insert(tables.epoch).values({ meshId: mesh, number: epoch.number, mk: epoch.mk, back: epoch.back ?? null, createdAt: now })
  await db.delete(keybox).where(and(eq(keybox.meshId, mesh), ne(keybox.mk, epoch.mk)))
}

/** The certificates of members and open invites that have no box of this key. */
export async function unprovided(db: Database, mesh: MeshId, mk: string, now: number): Promise<{ members: string[][]; invites: string[][] }> {
  const { member, invite } = tables
  const boxFor = (reader: typeof member.pubkey | typeof invite.pubkey) =>
    sql`not exists (select from ${keybox} where ${keybox.meshId} = ${mesh} and ${keybox.mk} = ${mk} and ${keybox.reader} = ${reader})`
  const members = await db
    .select({ chain: member.chain })
    .from(member)
    .where(and(eq(member.meshId, mesh), boxFor(member.pubkey)))
  const invites = await db
    .select({ chain: invite.chain })
    .from(invite)
    .where(and(eq(invite.meshId, mesh), sql`${invite.used} < ${invite.max}`, sql`${invite.expiresAt} > ${now}`, boxFor(invite.pubkey)))
  return { members: members.map((row) => row.chain), invites: invites.map((row) => row.chain) }
}

/** Removes the boxes of epochs that never began, and those of invites that can no longer be used. */
export async function sweepKeyboxes(db: Database, before: number, now: number): Promise<void> {
  await db.execute(sql`delete from mesh.keybox k where k.created_at < ${before}::bigint
    and not exists (select from mesh.epoch e where e.mesh_id = k.mesh_id and e.mk = k.mk)`)
  await db.execute(sql`delete from mesh.keybox k using mesh.invite i where i.mesh_id = k.mesh_id and i.pubkey = k.reader
    and (i.expires_at < ${now}::bigint or i.used >= i.max)`)
}
