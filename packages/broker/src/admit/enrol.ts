import { and, eq, lt, sql } from 'drizzle-orm'
import { verifyChain, verifyEnrol, type ChainTo } from '@claudemesh/crypto'
import { limits, MeshError, type contract, type Input, type MeshId, type Output } from '@claudemesh/protocol'
import type { Greeting } from '../kernel.ts'
import { currentKeybox, forgetReaders, putKeyboxes } from '../keyboxes.ts'
import { holdPolicy, refresh } from '../policy.ts'
import type { Database } from '../ports.ts'
import * as tables from '../tables.ts'
import { checkTranscript } from './greeting.ts'

type Enrol = typeof contract.session.enrol

/** Makes a member of whoever holds an invite's key; each use is counted once, also when many come at the same time. The same member may come again. */
export async function enrol(greeting: Greeting, input: Input<Enrol>): Promise<Output<Enrol>> {
  const { kernel, nonce } = greeting
  const { chain: tokens, aud, clientNonce, timestamp, proof, keybox } = input
  checkTranscript(greeting, input)
  const mesh = await kernel.meshes.get(kernel, input.meshId)
  if (!mesh) throw new MeshError('unauthorized')
  await refresh(kernel, mesh)
  const now = kernel.clock.now()
  const { policy } = mesh
  const chain = verifyChain(tokens, { mesh: mesh.id, root: mesh.root, now, ends: 'member', revoked: policy.body.revoked })
  verifyEnrol({ mesh: mesh.id, member: chain.member.key, aud, nonce, clientNonce, timestamp, proof })
  const boxes = keybox ? [currentKeybox(mesh, keybox, { reader: chain.member.key, by: chain.member.key, now })] : []
  await kernel.db.transaction(async (tx) => {
    await holdPolicy(tx, mesh, policy)
    const [fresh] = await tx
      .insert(tables.member)
      .values(memberRow(mesh.id, chain, tokens, now))
      .onConflictDoNothing()
      .returning({ id: tables.member.id })
    if (fresh) {
      await checkMembers(tx, mesh.id)
      await countUse(tx, mesh.id, chain, tokens, now)
    } else await checkSame(tx, mesh.id, chain, tokens)
    if (boxes.length > 0) await putKeyboxes(tx, boxes)
  })
  kernel.log('info', 'enrolled', { mesh: mesh.id, member: chain.member.id })
  return { memberId: chain.member.id, policy: policy.token }
}

/** The row of a member whose chain verified. */
export function memberRow(
  meshId: MeshId,
  { member, invite }: ChainTo<'member'>,
  chain: readonly string[],
  createdAt: number,
): typeof tables.member.$inferInsert {
  return { meshId, id: member.id, pubkey: member.key, name: member.name, role: member.role, chain: [...chain], invitePubkey: invite?.key ?? null, createdAt }
}

async function checkMembers(tx: Database, meshId: MeshId): Promise<void> {
  const members = await tx.$count(tables.member, eq(tables.member.meshId, meshId))
  if (members > limits.members) throw new MeshError('quota_exceeded', `this mesh has ${limits.members} members already`)
}

async function countUse(tx: Database, meshId: MeshId, { invite }: ChainTo<'member'>, tokens: readonly string[], now: number): Promise<void> {
  if (!invite) return
  if (now > invite.exp) throw new MeshError('invite_expired')
  const { pubkey, max, used } = tables.invite
  await tx
    .insert(tables.invite)
    .values({ meshId, pubkey: invite.key, chain: tokens.slice(0, -1), max: invite.max, expiresAt: invite.exp, createdAt: now })
    .onConflictDoNothing()
  const counted = await tx
    .update(tables.invite)
    .set({ used: sql`${used} + 1` })
    .where(and(eq(tables.invite.meshId, meshId), eq(pubkey, invite.key), lt(used, max)))
    .returning({ used, max })
  const [count] = counted
  if (!count) throw new MeshError('invite_used')
  if (count.used >= count.max) await forgetReaders(tx, meshId, [invite.key])
}

async function checkSame(tx: Database, meshId: MeshId, { member }: ChainTo<'member'>, tokens: readonly string[]): Promise<void> {
  const [row] = await tx
    .select({ chain: tables.member.chain })
    .from(tables.member)
    .where(and(eq(tables.member.meshId, meshId), eq(tables.member.id, member.id)))
  if (JSON.stringify(row?.chain) !== JSON.stringify(tokens)) throw new MeshError('bad_chain', 'this member key enrolled before, with other certificates')
}
