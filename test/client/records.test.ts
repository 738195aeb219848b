// What is stored in the mesh: written by one session, verified by every other, also long after the writer has gone.
import { issueRecord, issueSession, newMeshKey, sealRecord, toB64u } from '@claudemesh/crypto'
import { nodeRandom } from '@claudemesh/client/node'
import { times } from '@claudemesh/protocol'
import type { Row, Written } from '@claudemesh/client'
import { expect, test } from 'vitest'
import { newSession, testMesh, type TestMesh, type TestPeer } from '../harness/mesh.ts'

const refusal = (code: string, message?: string) =>
  expect.objectContaining({ code, ...(message === undefined ? {} : { message: expect.stringContaining(message) }) })
const founderOf = (mesh: TestMesh) => mesh.peer('Founder', { identity: mesh.founder })

/** A peer with the session certificate that the broker would store with its records. */
async function writerIn(mesh: TestMesh, name: string) {
  const session = newSession()
  const peer = await mesh.peer(name, { session })
  const iat = mesh.clock.now()
  const certificate = issueSession({ mesh: mesh.founder.mesh, session: session.key, member: peer.identity.member, iat })
  const chain = [...peer.identity.chain, certificate]
  const write = async (content: string, ts = mesh.clock.now()) => row(await peer.records.seal('memory', 'm1', { id: 'm1', content, tags: [], ts }), chain)
  return { peer, session, chain, write }
}
const row = ({ record }: Written, chain: readonly string[]): Row => ({ id: 'm1', record, chain })
const read = (peer: TestPeer, stored: Row) => peer.records.open('memory', stored)

test('a record says who wrote it, also when the writer is offline for days', async () => {
  await using mesh = await testMesh()
  const alice = await mesh.peer('Alice')
  const { peer, session, write } = await writerIn(mesh, 'Bob')
  const stored = await write('Payments API rate-limits at 100/min')
  await peer.close({ bye: true })
  const opened = await read(alice, stored)
  expect(opened).toMatchObject({
    content: { id: 'm1', content: 'Payments API rate-limits at 100/min', tags: [], k: session.key.publicKey },
    by: { session: session.key.publicKey, name: 'Bob', member: { name: 'Bob', role: 'member' } },
    epoch: 1,
  })
  mesh.clock.advance(30 * times.sessionLife)
  expect((await read(alice, stored)).content).toEqual(opened.content)
})

test('what a session wrote itself bears its own name', async () => {
  await using mesh = await testMesh()
  const { peer, write } = await writerIn(mesh, 'Bob')
  expect((await read(peer, await write('mine'))).by).toMatchObject({ name: 'Bob', session: peer.me.session })
})

test('what a removed member wrote before stays readable, and under the new key it is refused', async () => {
  await using mesh = await testMesh()
  const founder = await founderOf(mesh)
  const { peer, chain, session, write } = await writerIn(mesh, 'Eve')
  const before = await write('before')
  await founder.amend({ revoke: { members: [peer.identity.member.publicKey] } })
  expect((await read(founder, before)).content).toMatchObject({ content: 'before' })
  // Somebody gave her the new key.
  const { epoch, key } = await founder.keys.current()
  const token = issueRecord('memory', { mesh: mesh.founder.mesh, session: session.key, id: 'm1', content: 'after', tags: [], ts: mesh.clock.now() })
  const after = { record: sealRecord({ mesh: mesh.founder.mesh, purpose: 'memory', epoch, key, id: 'm1', token, random: nodeRandom }), token }
  await expect(read(founder, row(after, chain))).rejects.toThrow(refusal('revoked'))
})

test.each([
  ['another row', 'cannot_open', (stored: Row): Row => ({ ...stored, id: 'm2' })],
  ['another epoch', 'no_mesh_key', (stored: Row): Row => ({ ...stored, record: { ...stored.record, e: 2 } })],
  ['an epoch that never was', 'no_mesh_key', (stored: Row): Row => ({ ...stored, record: { ...stored.record, e: 0 } })],
  ['changed', 'cannot_open', (stored: Row): Row => ({ ...stored, record: { ...stored.record, c: `${toB64u(nodeRandom(3))}${stored.record.c.slice(4)}` } })],
  ['without certificates', 'bad_chain', (stored: Row): Row => ({ ...stored, chain: [] })],
])('a record that the broker moved or changed is refused: %s', async (_what, code, change) => {
  await using mesh = await testMesh()
  const alice = await mesh.peer('Alice')
  const { write } = await writerIn(mesh, 'Bob')
  await expect(read(alice, change(await write('x')))).rejects.toThrow(refusal(code))
})

test('a record with the certificates of another session is refused, and one dated outside its writer’s time', async () => {
  await using mesh = await testMesh()
  const bob = await writerIn(mesh, 'Bob')
  const eve = await writerIn(mesh, 'Eve')
  const stored = await bob.write('signed by Bob')
  await expect(read(eve.peer, { ...stored, chain: eve.chain })).rejects.toThrow(refusal('bad_record', 'signature'))
  const now = mesh.clock.now()
  await expect(read(eve.peer, await bob.write('from tomorrow', now + times.sessionLife / 2))).rejects.toThrow(refusal('bad_record', 'future'))
  await expect(read(eve.peer, await bob.write('from last year', now - 365 * times.sessionLife))).rejects.toThrow(refusal('bad_chain', 'not valid yet'))
})

test('a record under a key of somebody’s own does not open', async () => {
  await using mesh = await testMesh()
  const alice = await mesh.peer('Alice')
  const { chain, write } = await writerIn(mesh, 'Bob')
  const { record } = await write('x')
  const forged = sealRecord({ mesh: mesh.founder.mesh, purpose: 'memory', epoch: 1, key: newMeshKey(nodeRandom), id: 'm1', token: 'x', random: nodeRandom })
  await expect(read(alice, { id: 'm1', record: forged, chain })).rejects.toThrow(refusal('cannot_open'))
  await expect(alice.records.open('state', { id: 'm1', record, chain })).rejects.toThrow(refusal('cannot_open'))
})
