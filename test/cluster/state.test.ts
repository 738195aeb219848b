import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { b64u } from '../broker/kit.ts'
import { buses } from './buses.ts'
import { cluster, knows, peerAt, type Cluster } from './cluster.ts'

describe.each(buses)('shared state on two nodes (%s)', (_, meet) => {
  let nodes: Cluster
  beforeAll(async () => (nodes = await cluster(meet)))
  afterAll(() => nodes[Symbol.asyncDispose]())

  test('is told to the peers of both, and two writers at once cannot both win', async () => {
    const mesh = await nodes.mesh()
    await using alice = await peerAt(nodes.a, mesh, 'Alice')
    await using bob = await peerAt(nodes.b, mesh, 'Bob')
    await using carol = await peerAt(nodes.b, mesh, 'Carol')
    await knows(alice, carol)
    const stateId = b64u(16)
    const write = (version: number) => ({ type: 'set_state', stateId, version, record: { e: 1, n: b64u(24), c: b64u(300) } })
    expect(await alice.wire.ask(write(1))).toMatchObject({ type: 'ok', version: 1 })
    for (const peer of [bob, carol]) expect(await peer.wire.next('state_change')).toMatchObject({ stateId, version: 1, writer: alice.key })
    const answers = await Promise.all([alice.wire.ask(write(2)), bob.wire.ask(write(2))])
    expect(answers.map(({ type }) => type).toSorted()).toEqual(['error', 'ok'])
    expect(await carol.wire.next('state_change')).toMatchObject({ stateId, version: 2 })
    expect(alice.wire.seen.filter((frame) => frame.type === 'state_change' && frame['writer'] === alice.key)).toEqual([])
  })
})
