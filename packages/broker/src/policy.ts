import { and, eq, gt } from 'drizzle-orm'
import { verifyChain, verifyPolicy, type ChainEnd, type Policy } from '@claudemesh/crypto'
import { closeCodes, MeshError } from '@claudemesh/protocol'
import { verifyIn } from './chains.ts'
import type { Kernel } from './kernel.ts'
import { beginEpoch, forgetReaders, unprovided } from './keyboxes.ts'
import { end } from './lifecycle.ts'
import { failRevokedMail } from './mail.ts'
import type { Mesh } from './mesh.ts'
import type { Database } from './ports.ts'
import * as tables from './tables.ts'

/** Puts the successor of the mesh's policy in force, with all that follows from it, or nothing at all. Throws `bad_policy` or `policy_conflict`. */
export async function replacePolicy(kernel: Kernel, mesh: Mesh, token: string): Promise<void> {
  await refresh(kernel, mesh)
  const before = mesh.policy
  const successor = verifyPolicy(token, { mesh: mesh.id, root: mesh.root })
  if (successor.v <= before.body.v) throw new MeshError('policy_conflict')
  const body = verifyPolicy(token, { mesh: mesh.id, root: mesh.root, prev: before.token })
  try {
    await storePolicy(kernel, mesh, { token, body })
  } catch (error) {
    // The store may have gone away in the middle of the commit.
    if (!(error instanceof MeshError)) mesh.policyInDoubt = true
    throw error
  }
  enforce(kernel, mesh, { token, body })
  kernel.nodes.toMesh(mesh.id, { t: 'policy', token })
  await failRevokedMail(kernel, mesh)
}

function storePolicy(kernel: Kernel, mesh: Mesh, { token, body }: Mesh['policy']): Promise<void> {
  const before = mesh.policy.body
  return kernel.db.transaction(async (tx) => {
    const changed = await tx
      .update(tables.mesh)
      .set({ policy: token, policyVersion: body.v })
      .where(and(eq(tables.mesh.id, mesh.id), eq(tables.mesh.policyVersion, before.v)))
      .returning({ id: tables.mesh.id })
    if (changed.length === 0) throw new MeshError('policy_conflict')
    if (body.epoch && body.epoch.number !== before.epoch?.number) await takeEpoch(kernel, tx, mesh, body)
    else await forgetReaders(tx, mesh.id, [...body.revoked.members, ...body.revoked.invites])
  })
}

/** Holds the policy under which something was verified, and for this transaction alone, until it ends: what counts members or invites sees all of them. Throws `policy_conflict` when it is not the one in force any more. */
export async function holdPolicy(tx: Database, { id }: Mesh, { body }: Mesh['policy']): Promise<void> {
  const [row] = await tx.select({ v: tables.mesh.policyVersion }).from(tables.mesh).where(eq(tables.mesh.id, id)).for('no key update')
  if (row?.v !== body.v) throw new MeshError('policy_conflict')
}

async function takeEpoch(kernel: Kernel, tx: Database, mesh: Mesh, { epoch, revoked }: Policy): Promise<void> {
  if (!epoch) return
  const now = kernel.clock.now()
  const { members, invites } = await unprovided(tx, mesh.id, epoch.mk, now)
  const reads = (ends: ChainEnd, chain: readonly string[]) => {
    try {
      verifyChain(chain, { mesh: mesh.id, root: mesh.root, now, ends, revoked, cache: kernel.tokens })
      return true
    } catch {
      return false
    }
  }
  if (members.some((chain) => reads('member', chain)) || invites.some((chain) => reads('invite', chain))) {
    throw new MeshError('policy_conflict', 'a member or an open invite has no box of the new mesh key')
  }
  await beginEpoch(tx, mesh.id, epoch, now)
}

/** Puts a policy that verified in force on this node: its sessions are told, and those it revokes are disconnected and forgotten as recipients. */
function enforce(kernel: Kernel, mesh: Mesh, policy: Mesh['policy']): void {
  mesh.policy = policy
  mesh.policyInDoubt = false
  mesh.write(JSON.stringify({ type: 'policy_changed', policy: policy.token }))
  dropRevoked(kernel, mesh)
}

function dropRevoked(kernel: Kernel, mesh: Mesh): void {
  for (const presence of mesh.presences.values()) {
    try {
      verifyIn(kernel, mesh, 'session', presence.chain)
    } catch (error) {
      if (!(error instanceof MeshError) || error.code !== 'revoked') continue
      const link = presence.link
      link?.feed.close()
      end(kernel, mesh, presence, 'revoked')
      link?.session.refuse(error, closeCodes.revoked)
    }
  }
}

/** Ends what the policy in force of a mesh just read revokes: the broker that set it may have gone down before it could. */
export async function endRevoked(kernel: Kernel, mesh: Mesh): Promise<void> {
  const { members, invites, sessions } = mesh.policy.body.revoked
  if (members.length + invites.length + sessions.length === 0) return
  dropRevoked(kernel, mesh)
  await failRevokedMail(kernel, mesh)
}

/** Takes over a policy that another node stored, unless the one in force is as new. */
export function adopt(kernel: Kernel, mesh: Mesh, token: string): void {
  if (token === mesh.policy.token) return
  const body = verifyPolicy(token, { mesh: mesh.id, root: mesh.root })
  if (body.v > mesh.policy.body.v) enforce(kernel, mesh, { token, body })
}

/** Reads the policy in force where it may be another than this node knows of: set by another one, or here, while the store went away. */
export async function refresh(kernel: Kernel, mesh: Mesh): Promise<void> {
  if (!kernel.nodes.bus && !mesh.policyInDoubt) return
  const { id, policy, policyVersion } = tables.mesh
  const [newer] = await kernel.db
    .select({ token: policy })
    .from(tables.mesh)
    .where(and(eq(id, mesh.id), gt(policyVersion, mesh.policy.body.v)))
  if (!newer) return
  adopt(kernel, mesh, newer.token)
  // Nobody told of it: who set it may have come no further.
  await failRevokedMail(kernel, mesh)
}
