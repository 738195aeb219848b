import { meshIdOf, verifyChain, verifyCreate, verifyPolicy } from '@claudemesh/crypto'
import { MeshError, type contract, type Input, type Output } from '@claudemesh/protocol'
import type { Greeting } from '../kernel.ts'
import { beginEpoch, putKeyboxes } from '../keyboxes.ts'
import * as tables from '../tables.ts'
import { memberRow } from './enrol.ts'
import { checkTranscript } from './greeting.ts'

type CreateMesh = typeof contract.session.createMesh

/** Takes a new mesh in, for whoever holds its root key. */
export async function createMesh(greeting: Greeting, input: Input<CreateMesh>): Promise<Output<CreateMesh>> {
  const { kernel, nonce } = greeting
  const { root, slug, chain: tokens, policy, aud, clientNonce, timestamp, proof, keybox } = input
  if (!kernel.allowCreate) throw new MeshError('mesh_creation_closed')
  checkTranscript(greeting, input)
  const mesh = meshIdOf(root)
  verifyCreate({ mesh, root, aud, nonce, clientNonce, timestamp, proof })
  const now = kernel.clock.now()
  const chain = verifyChain(tokens, { mesh, root, now, ends: 'member' })
  if (chain.invite || chain.member.role !== 'admin') throw new MeshError('bad_chain', 'the founder is an admin whom the root itself certified')
  const body = verifyPolicy(policy, { mesh, root })
  if (body.v !== 1) throw new MeshError('bad_policy', 'a mesh begins with policy version 1')
  if ((body.epoch === undefined) !== (keybox === undefined) || body.epoch?.mk !== keybox?.mk)
    throw new MeshError('bad_policy', 'a first epoch comes with the founder’s box of its key')
  await kernel.db.transaction(async (tx) => {
    const [fresh] = await tx
      .insert(tables.mesh)
      .values({ id: mesh, slug, rootPubkey: root, policy, policyVersion: 1, createdAt: now })
      .onConflictDoNothing()
      .returning({ id: tables.mesh.id })
    if (!fresh) throw new MeshError('mesh_exists')
    await tx.insert(tables.member).values(memberRow(mesh, chain, tokens, now))
    if (!body.epoch || !keybox) return
    const { mk, n, c } = keybox
    await beginEpoch(tx, mesh, body.epoch, now)
    await putKeyboxes(tx, [{ meshId: mesh, mk, epoch: 1, reader: chain.member.key, by: chain.member.key, nonce: n, ciphertext: c, createdAt: now }])
  })
  kernel.log('info', 'mesh_created', { mesh, slug })
  return { meshId: mesh, memberId: chain.member.id }
}
