import { verifyPolicy } from '@claudemesh/crypto'
import { MeshError, type contract } from '@claudemesh/protocol'
import { and, asc, eq } from 'drizzle-orm'
import { createMesh } from '../admit/create.ts'
import { enrol } from '../admit/enrol.ts'
import { hello } from '../admit/hello.ts'
import { verifyIn } from '../chains.ts'
import type { Answerable, Handlers } from '../handlers.ts'
import type { Greeting, Ready } from '../kernel.ts'
import { end } from '../lifecycle.ts'
import { enforce } from '../policy.ts'
import * as tables from '../tables.ts'

type S = typeof contract.session
type Greets = 'hello' | 'enrol' | 'createMesh'

export const greetings: Handlers<S, Greeting, Greets> = { hello, enrol, createMesh }

export const session: Handlers<S, Ready, Exclude<Answerable<S>, Greets>> = {
  getPolicy: ({ mesh }) => ({ policy: mesh.policy.token }),

  setPolicy: async ({ kernel, mesh }, { policy: token }) => {
    const before = mesh.policy
    const successor = verifyPolicy(token, { mesh: mesh.id, root: mesh.root })
    if (successor.v <= before.body.v) throw new MeshError('policy_conflict')
    const body = verifyPolicy(token, { mesh: mesh.id, root: mesh.root, prev: before.token })
    const changed = await kernel.db
      .update(tables.mesh)
      .set({ policy: token, policyVersion: body.v })
      .where(and(eq(tables.mesh.id, mesh.id), eq(tables.mesh.policyVersion, before.body.v)))
      .returning({ id: tables.mesh.id })
    if (changed.length === 0) throw new MeshError('policy_conflict')
    enforce(kernel, mesh, { token, body })
    kernel.nodes.toMesh(mesh.id, { t: 'policy', token })
    return {}
  },

  createInvite: async ({ kernel, mesh }, { chain }) => {
    const now = kernel.clock.now()
    const { invite } = verifyIn(kernel, mesh, 'invite', chain)
    await kernel.db
      .insert(tables.invite)
      .values({ meshId: mesh.id, pubkey: invite.key, chain: [...chain], max: invite.max, expiresAt: invite.exp, createdAt: now })
      .onConflictDoNothing()
    return {}
  },

  listInvites: async ({ kernel, mesh }) => {
    const { invite } = tables
    const invites = await kernel.db
      .select({ invitePubkey: invite.pubkey, chain: invite.chain, used: invite.used, createdAt: invite.createdAt })
      .from(invite)
      .where(eq(invite.meshId, mesh.id))
      .orderBy(asc(invite.createdAt))
    return { invites }
  },

  bye: ({ kernel, session, mesh, me }) => {
    end(kernel, mesh, me, 'left')
    session.finish(1000, 'bye')
  },
}
