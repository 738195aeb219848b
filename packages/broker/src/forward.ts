import { verifyChain, verifyPresence } from '@claudemesh/crypto'
import { MeshError, times, type contract, type Input, type SessionPubkey } from '@claudemesh/protocol'
import type { Ready } from './kernel.ts'
import { presence as table } from './tables.ts'

type Forward = NonNullable<Input<typeof contract.messages.send>['forward']>

/**
 * The session that sealed a forwarded envelope, with its proof for pushes: it is of the same member, and its certificate ended no longer ago than an outbox
 * keeps messages. Throws the refusal.
 */
export async function acceptForward({ kernel, mesh, me }: Ready, forward: Forward): Promise<{ key: SessionPubkey; proof: string }> {
  const { sessionPubkey: key, chain, presence } = forward
  const { member, session } = verifyChain(chain, {
    mesh: mesh.id,
    root: mesh.root,
    now: kernel.clock.now(),
    ends: 'session',
    revoked: mesh.policy.body.revoked,
    cache: kernel.tokens,
    grace: times.outboxLife,
  })
  if (member.key !== me.memberPubkey) throw new MeshError('bad_chain', 'only sessions of the same member are forwarded')
  if (session.key !== key) throw new MeshError('bad_chain', 'the certificates are of another session than the envelope')
  const signed = verifyPresence(presence, { mesh: mesh.id, session: key })
  // What is read from the queue later is proven by this row.
  await kernel.db
    .insert(table)
    .values({
      meshId: mesh.id,
      sessionPubkey: key,
      id: me.id,
      memberId: me.memberId,
      memberPubkey: me.memberPubkey,
      memberName: me.memberName,
      chain: [...chain],
      presence,
      seq: signed.seq,
      groups: [...signed.groups],
      status: 'idle',
      live: false,
      disconnectedAt: kernel.clock.now(),
      expiresAt: session.exp,
      connectedAt: kernel.clock.now(),
    })
    .onConflictDoNothing()
  return { key, proof: `,"chain":${JSON.stringify(chain)},"presence":"${presence}"` }
}
