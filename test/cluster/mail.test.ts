import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { TestClock } from '../harness/clock.ts'
import { buses } from './buses.ts'
import { cluster, knows, peerAt, type Cluster } from './cluster.ts'

describe.each(buses)('mail for a member with sessions on two nodes (%s)', (_, meet) => {
  let nodes: Cluster<TestClock>
  beforeAll(async () => (nodes = await cluster(meet)))
  afterAll(() => nodes[Symbol.asyncDispose]())

  test('comes at once to the session that shows it at the other node, whose end gives it to one at this', async () => {
    const mesh = await nodes.mesh()
    const member = await mesh.enrolled('Carol')
    const key = member.key.publicKey
    await using alice = await peerAt(nodes.a, mesh, 'Alice')
    await using there = await peerAt(nodes.b, mesh, 'There', { member, mail: true })
    await knows(alice, there)
    const { messageId } = await alice.send([key], 'hello', { members: 1, shared: true })
    expect(await there.wire.next('push')).toMatchObject({ messageId, mail: true })
    there.receive(messageId)
    expect(await alice.wire.next('delivery')).toMatchObject({ updates: [{ sessionPubkey: key, mail: true, rung: 'received' }] })

    await using here = await peerAt(nodes.a, mesh, 'Here', { member, mail: true })
    await here.wire.ask({ type: 'get_policy' })
    expect(here.wire.seen.filter((frame) => frame.type === 'push')).toEqual([])
    there.wire.send({ type: 'bye' })
    expect(await here.wire.next('push')).toMatchObject({ messageId, mail: true })
    here.surface(messageId)
    expect(await alice.wire.next('delivery')).toMatchObject({ updates: [{ sessionPubkey: key, rung: 'surfaced' }] })
  })
})
