import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Keys } from '../broker/epochs.ts'
import { buses } from './buses.ts'
import { cluster, knows, peerAt, type Cluster } from './cluster.ts'

describe.each(buses)('on two nodes (%s)', (_, meet) => {
  let nodes: Cluster
  beforeAll(async () => (nodes = await cluster(meet)))
  afterAll(() => nodes[Symbol.asyncDispose]())

  test('a member at one node gets the mesh key from a member at the other', async () => {
    const mesh = await nodes.mesh()
    const member = await mesh.enrolled('Bob')
    await using alice = await peerAt(nodes.a, mesh, 'Alice')
    await using bob = await peerAt(nodes.b, mesh, 'Bob', { member })
    await knows(alice, bob)
    const keys = new Keys(mesh)
    const first = keys.prepare()
    expect(await keys.put(alice, [alice.member.key.publicKey, member.key.publicKey], first)).toMatchObject({ type: 'ok' })
    expect(await keys.begin(alice, first)).toMatchObject({ type: 'ok' })
    await bob.wire.next('policy_changed')

    expect(await alice.wire.ask({ type: 'request_key' })).toMatchObject({ asked: 1 })
    expect(await bob.wire.next('key_wanted')).toMatchObject({ memberPubkey: alice.member.key.publicKey })
    expect(await keys.put(bob, [alice.member.key.publicKey], first)).toMatchObject({ type: 'ok' })
    expect(await alice.wire.next('keybox')).toMatchObject({ keybox: { e: 1, by: member.key.publicKey } })
  })
})
