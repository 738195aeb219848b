import { openBus, openStore } from '@claudemesh/drivers'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Frame } from '../broker/kit.ts'
import type { TestClock } from '../harness/clock.ts'
import { buses } from './buses.ts'
import { cluster, knows, moved, node, peerAt, roster, through, type Cluster } from './cluster.ts'

describe.each(buses)('sessions of one mesh on two nodes (%s)', (_, meet) => {
  let nodes: Cluster<TestClock>
  beforeAll(async () => (nodes = await cluster(meet)))
  afterAll(() => nodes[Symbol.asyncDispose]())

  test('see each other, and a direct message crosses with its receipts', async () => {
    const mesh = await nodes.mesh()
    await using alice = await peerAt(nodes.a, mesh, 'Alice')
    await using bob = await peerAt(nodes.b, mesh, 'Bob')
    await knows(alice, bob)
    expect(await roster(alice)).toEqual({ [alice.key]: true, [bob.key]: true })
    expect(await roster(bob)).toEqual({ [alice.key]: true, [bob.key]: true })
    const ack = await alice.send([bob.key], 'hello')
    expect(ack).toMatchObject({ type: 'ack', queued: 1, gone: [] })
    const push = await bob.wire.next('push')
    expect(push['messageId']).toBe(ack['messageId'])
    bob.receive(push['messageId'])
    expect(await alice.wire.next('delivery')).toMatchObject({ updates: [{ messageId: ack['messageId'], sessionPubkey: bob.key, rung: 'received' }] })
    bob.surface(push['messageId'])
    expect(await alice.wire.next('delivery')).toMatchObject({ updates: [{ messageId: ack['messageId'], sessionPubkey: bob.key, rung: 'surfaced' }] })
    const status = await alice.wire.ask({ type: 'message_status', messageId: ack['messageId'] })
    expect(status).toMatchObject({ delivered: true, recipients: [{ sessionPubkey: bob.key, rung: 'surfaced', connected: true }] })
  })

  test('get what is for their group or for all, each with its wrap, and what was missed is topped up', async () => {
    const mesh = await nodes.mesh()
    const frontend = { groups: [{ name: 'frontend' }] }
    await using alice = await peerAt(nodes.a, mesh, 'Alice')
    await using bob = await peerAt(nodes.b, mesh, 'Bob', frontend)
    await using carol = await peerAt(nodes.b, mesh, 'Carol')
    await using dave = await peerAt(nodes.a, mesh, 'Dave', frontend)
    await knows(alice, bob)
    await knows(alice, carol)
    const first = alice.sendFrame([bob.key], 'to the group', { targetSpec: '@frontend', shared: true })
    const ack = await alice.wire.ask(first)
    expect((ack['missing'] as Frame[]).map((peer) => peer['sessionPubkey'])).toEqual([dave.key])
    expect(await bob.wire.next('push')).toMatchObject({ messageId: ack['messageId'], ciphertext: first['ciphertext'] })
    const all = alice.sendFrame([bob.key, carol.key], 'to all', { targetSpec: '*' })
    const { messageId } = await alice.wire.ask(all)
    const [forBob, forCarol] = [await bob.wire.next('push'), await carol.wire.next('push')]
    expect([forBob['messageId'], forCarol['messageId']]).toEqual([messageId, messageId])
    expect(forBob['wrap']).not.toBe(forCarol['wrap'])
    const wraps = Buffer.alloc(88, 7).toString('base64url')
    const more = alice.sendFrame([dave.key], 'to dave alone at first', { targetSpec: '*', shared: true })
    const begun = await alice.wire.ask(more)
    expect(await alice.wire.ask({ type: 'send_more', messageId: begun['messageId'], to: carol.key, wraps })).toMatchObject({ queued: 1, gone: [] })
    expect(await carol.wire.next('push')).toMatchObject({ messageId: begun['messageId'], wrap: wraps, ciphertext: more['ciphertext'] })
  })

  test('get volatile messages too, of which nothing is stored', async () => {
    const mesh = await nodes.mesh()
    await using alice = await peerAt(nodes.a, mesh, 'Alice')
    await using bob = await peerAt(nodes.b, mesh, 'Bob')
    await knows(alice, bob)
    const ack = await alice.send([bob.key], 'now or never', { volatile: true })
    expect(ack).toMatchObject({ queued: 0, volatile: true })
    expect(await bob.wire.next('push')).toMatchObject({ messageId: ack['messageId'] })
    expect(await alice.wire.ask({ type: 'message_status', messageId: ack['messageId'] })).toMatchObject({ code: 'not_found' })
  })

  test('hear of each other’s status, summary and groups, and are routed by them', async () => {
    const mesh = await nodes.mesh()
    await using alice = await peerAt(nodes.a, mesh, 'Alice')
    await using bob = await peerAt(nodes.b, mesh, 'Bob')
    await knows(alice, bob)
    await bob.wire.ask({ type: 'set_status', status: 'working' })
    expect(await knows(alice, bob)).toMatchObject({ status: 'working' })
    const presence = bob.presence({ summary: 'Reviewing' })
    await bob.wire.ask({ type: 'set_summary', summary: 'Reviewing', presence })
    expect(await knows(alice, bob)).toMatchObject({ presence, status: 'working' })
    bob.groups = [{ name: 'reviewers' }]
    await bob.wire.ask({ type: 'join_group', name: 'reviewers', presence: bob.presence() })
    await knows(alice, bob)
    await alice.send([bob.key], 'review this', { targetSpec: '@reviewers', shared: true })
    expect(await bob.wire.next('push')).toMatchObject({ targetSpec: '@reviewers' })
    bob.groups = []
    await bob.wire.ask({ type: 'leave_group', name: 'reviewers', presence: bob.presence() })
    await knows(alice, bob)
    expect(await alice.send([bob.key], 'again', { targetSpec: '@reviewers', shared: true })).toMatchObject({ queued: 0, gone: [bob.key] })
  })

  test('a session that comes to another node takes its connection and its queue along', async () => {
    const mesh = await nodes.mesh()
    await using alice = await peerAt(nodes.a, mesh, 'Alice')
    await using bob = await peerAt(nodes.a, mesh, 'Bob')
    await bob.drop()
    await knows(alice, bob, false)
    const { messageId } = await alice.send([bob.key], 'while away')
    expect(await moved(bob, nodes.b)).toMatchObject({ queued: 1 })
    expect(await bob.wire.next('push')).toMatchObject({ messageId })
    await knows(alice, bob)
    const old = bob.wire
    await moved(bob, nodes.a)
    expect(await old.next('error')).toMatchObject({ code: 'replaced' })
    expect((await old.closed).code).toBe(4409)
    expect(await roster(alice)).toEqual({ [alice.key]: true, [bob.key]: true })
  })

  test('two processes that fight over one session from different nodes are both refused', async () => {
    const mesh = await nodes.mesh()
    await using alice = await peerAt(nodes.a, mesh, 'Alice')
    await using bob = await peerAt(nodes.a, mesh, 'Bob')
    for (const to of [nodes.b, nodes.a, nodes.b]) {
      await moved(bob, to)
      await knows(alice, bob)
    }
    const last = bob.wire
    await expect(moved(bob, nodes.a)).rejects.toThrow('duplicate_session')
    expect(await last.next('error')).toMatchObject({ code: 'duplicate_session' })
    await expect(moved(bob, nodes.b)).rejects.toThrow('duplicate_session')
  })

  test('a session that says goodbye at one node is gone at the other, and its queue fails by name', async () => {
    const mesh = await nodes.mesh()
    await using alice = await peerAt(nodes.a, mesh, 'Alice')
    await using bob = await peerAt(nodes.b, mesh, 'Bob')
    await knows(alice, bob)
    const { messageId } = await alice.send([bob.key], 'unread')
    await bob.wire.next('push')
    bob.wire.send({ type: 'bye' })
    expect(await alice.wire.next('delivery')).toMatchObject({ updates: [{ messageId, rung: 'failed', reason: 'recipient_gone' }] })
    expect(await alice.wire.next('peer_gone')).toMatchObject({ sessionPubkey: bob.key, reason: 'left' })
    expect(await alice.send([bob.key], 'too late')).toMatchObject({ gone: [bob.key] })
  })

  test('a policy that an admin sets at one node disconnects whom it revokes at the other', async () => {
    const mesh = await nodes.mesh()
    const member = await mesh.enrolled('Bob')
    await using alice = await peerAt(nodes.a, mesh, 'Alice')
    await using bob = await peerAt(nodes.b, mesh, 'Bob', { member })
    await knows(alice, bob)
    const policy = through(nodes.a, mesh).makePolicy(2, { members: [member.key.publicKey], invites: [], sessions: [] })
    expect(await alice.wire.ask({ type: 'set_policy', policy })).toMatchObject({ type: 'ok' })
    expect(await bob.wire.next('policy_changed')).toMatchObject({ policy })
    expect((await bob.wire.closed).code).toBe(4403)
    expect(await alice.wire.next('peer_gone')).toMatchObject({ sessionPubkey: bob.key, reason: 'revoked' })
    await expect(peerAt(nodes.b, mesh, 'Bob', { member })).rejects.toThrow('revoked')
  })

  test('a session that is away too long is stale at both nodes, and its queue waits in the store', async () => {
    const mesh = await nodes.mesh()
    await using alice = await peerAt(nodes.a, mesh, 'Alice')
    await using bob = await peerAt(nodes.b, mesh, 'Bob')
    await using carol = await peerAt(nodes.b, mesh, 'Carol')
    await knows(alice, bob)
    await bob.drop()
    await knows(alice, bob, false)
    await knows(carol, bob, false)
    const { messageId } = await alice.send([bob.key], 'while away')
    nodes.clock.advance(90_000)
    expect(await alice.wire.next('peer_gone')).toMatchObject({ sessionPubkey: bob.key, reason: 'stale' })
    expect(await carol.wire.next('peer_gone')).toMatchObject({ sessionPubkey: bob.key, reason: 'stale' })
    expect(await moved(bob, nodes.a)).toMatchObject({ queued: 1 })
    expect(await bob.wire.next('push')).toMatchObject({ messageId })
  })

  test('another mesh on the same nodes notices nothing', async () => {
    const [mine, theirs] = [await nodes.mesh(), await nodes.mesh()]
    await using alice = await peerAt(nodes.a, mine, 'Alice')
    await using bob = await peerAt(nodes.b, mine, 'Bob')
    await using mallory = await peerAt(nodes.b, theirs, 'Mallory')
    await using witness = await peerAt(nodes.a, theirs, 'Witness')
    await knows(alice, bob)
    await knows(mallory, witness)
    const seen = [mallory, witness].map((peer) => peer.wire.seen.length)
    await alice.send([bob.key], 'for all', { targetSpec: '*', shared: true })
    await bob.wire.next('push')
    await bob.wire.ask({ type: 'set_status', status: 'dnd' })
    await knows(alice, bob)
    expect(await mallory.send([bob.key], 'let me in')).toMatchObject({ gone: [bob.key] })
    await witness.wire.ask({ type: 'get_policy' })
    expect([mallory, witness].map((peer) => peer.wire.seen.slice(seen.shift()).map((frame) => frame.type))).toEqual([['ack'], ['policy']])
  })
})

describe('a second broker on one PostgreSQL', () => {
  test('is refused without a bus, in words, and served once the first is gone', async () => {
    await using nodes = await cluster(buses[0]?.[1] as (typeof buses)[0][1])
    await using store = await openStore(nodes.store)
    await using alone = await openBus('local:')
    await expect(node(store, alone, nodes.clock, 'c')).rejects.toThrow(/another broker serves this store; .*BUS_URL/)
    await nodes[Symbol.asyncDispose]()
    await using first = await node(store, alone, nodes.clock, 'c')
    expect(first.port).toBeGreaterThan(0)
    await using second = await openStore(nodes.store)
    await expect(node(second, alone, nodes.clock, 'd')).rejects.toThrow(/BUS_URL \(nats:\/\/host:port\) on each/)
    await expect(node(second, { ...alone, shared: true }, nodes.clock, 'd')).rejects.toThrow(/a broker without BUS_URL serves this store/)
  })
})
