import { limits, MeshError, type contract, type MeshId } from '@claudemesh/protocol'
import { and, asc, eq, gt, lt } from 'drizzle-orm'
import { createMesh } from '../admit/create.ts'
import { enrol } from '../admit/enrol.ts'
import { hello } from '../admit/hello.ts'
import { verifyIn } from '../chains.ts'
import type { Answerable, Handlers } from '../handlers.ts'
import type { Greeting, Ready } from '../kernel.ts'
import { currentKeybox, putKeyboxes } from '../keyboxes.ts'
import { end } from '../lifecycle.ts'
import type { Database } from '../ports.ts'
import { holdPolicy, replacePolicy } from '../policy.ts'
import { shared } from '../shared-tokens.ts'
import * as tables from '../tables.ts'

type S = typeof contract.session

async function checkInvites(db: Database, meshId: MeshId, now: number): Promise<void> {
  const { invite } = tables
  const open = await db.$count(invite, and(eq(invite.meshId, meshId), gt(invite.expiresAt, now), lt(invite.used, invite.max)))
  if (open >= limits.invites) throw new MeshError('quota_exceeded', `${limits.invites} invites of this mesh can still be used: revoke some, or let them expire`)
}

type Greets = 'hello' | 'enrol' | 'createMesh'

export const greetings: Handlers<S, Greeting, Greets> = { hello, enrol, createMesh }

export const session: Handlers<S, Ready, Exclude<Answerable<S>, Greets>> = {
  getPolicy: ({ mesh }) => ({ policy: mesh.policy.token }),

  setPolicy: async ({ kernel, mesh }, { policy }) => {
    await replacePolicy(kernel, mesh, policy)
    return {}
  },

  createInvite: async ({ kernel, mesh, me }, { chain, keybox }) => {
    const now = kernel.clock.now()
    const { policy } = mesh
    const { invite } = verifyIn(kernel, mesh, 'invite', chain)
    const boxes = keybox ? [currentKeybox(mesh, keybox, { reader: invite.key, by: me.memberPubkey, now })] : []
    await kernel.db.transaction(async (tx) => {
      await holdPolicy(tx, mesh, policy)
      await checkInvites(tx, mesh.id, now)
      await tx
        .insert(tables.invite)
        .values({ meshId: mesh.id, pubkey: invite.key, chain: [...chain], max: invite.max, expiresAt: invite.exp, createdAt: now })
        .onConflictDoNothing()
      if (boxes.length > 0) await putKeyboxes(tx, boxes)
    })
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

  listMembers: async ({ kernel, mesh }, { cursor }) => {
    const { member } = tables
    const found = await kernel.db
      .select({ id: member.id, chain: member.chain, createdAt: member.createdAt })
      .from(member)
      .where(and(eq(member.meshId, mesh.id), cursor === undefined ? undefined : gt(member.id, cursor)))
      .orderBy(asc(member.id))
      .limit(limits.membersPerPage)
    const { chains, tokens } = shared(found.map((row) => row.chain))
    const members = found.map(({ createdAt }, i) => ({ chain: chains[i] ?? [], createdAt }))
    const last = found.at(-1)
    return { members, tokens, ...(last && found.length === limits.membersPerPage ? { next: last.id } : {}) }
  },

  bye: ({ kernel, session, mesh, me }) => {
    me.link?.feed.close()
    end(kernel, mesh, me, 'left')
    session.finish(1000, 'bye')
  },
}
