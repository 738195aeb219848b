import type { Broker, Bus, Store } from '@claudemesh/broker'
import { openBus, openStore } from '@claudemesh/drivers'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { TestMesh } from '../broker/kit.ts'
import { TestClock } from '../harness/clock.ts'
import { postgresUrl } from '../harness/postgres.ts'
import { knows, moved, node, peerAt, roster, through } from './nodes.ts'

let store: Store
let bus: Bus
let a: Broker
let b: Broker
const clock = new TestClock()

beforeAll(async () => {
  store = await openStore(await postgresUrl(inject('postgres')))
  bus = { ...(await openBus('local:')), shared: true }
  a = await node(store, bus, clock, 'a')
  b = await node(store, bus, clock, 'b')
})
afterAll(async () => {
  for (const open of [a, b, bus, store]) await open[Symbol.asyncDispose]()
})

describe('sessions of one mesh on two nodes', () => {
  test('see each other, and a direct message crosses with its receipts', async () => {
    const mesh = await new TestMesh(a.url, clock).create()
    await using alice = await peerAt(a, mesh, 'Alice')
    await using bob = await peerAt(b, mesh, 'Bob')
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
  })

  test('a session that comes to another node takes its connection and its queue along', async () => {
    const mesh = await new TestMesh(a.url, clock).create()
    await using alice = await peerAt(a, mesh, 'Alice')
    await using bob = await peerAt(a, mesh, 'Bob')
    await bob.drop()
    await knows(alice, bob, false)
    const { messageId } = await alice.send([bob.key], 'while away')
    expect(await moved(bob, b)).toMatchObject({ queued: 1 })
    expect(await bob.wire.next('push')).toMatchObject({ messageId })
    await knows(alice, bob)
    const old = bob.wire
    await moved(bob, a)
    expect(await old.next('error')).toMatchObject({ code: 'replaced' })
    expect((await old.closed).code).toBe(4409)
    expect(await roster(alice)).toEqual({ [alice.key]: true, [bob.key]: true })
    await moved(bob, b)
    await moved(bob, a)
    await expect(moved(bob, b)).rejects.toThrow('duplicate_session')
  })

  test('a policy that an admin sets at one node disconnects whom it revokes at the other', async () => {
    const mesh = await new TestMesh(a.url, clock).create()
    const member = await mesh.enrolled('Bob')
    await using alice = await peerAt(a, mesh, 'Alice')
    await using bob = await peerAt(b, mesh, 'Bob', { member })
    await knows(alice, bob)
    const policy = through(a, mesh).makePolicy(2, { members: [member.key.publicKey], invites: [], sessions: [] })
    expect(await alice.wire.ask({ type: 'set_policy', policy })).toMatchObject({ type: 'ok' })
    expect(await bob.wire.next('policy_changed')).toMatchObject({ policy })
    expect((await bob.wire.closed).code).toBe(4403)
    expect(await alice.wire.next('peer_gone')).toMatchObject({ sessionPubkey: bob.key, reason: 'revoked' })
    await expect(peerAt(b, mesh, 'Bob', { member })).rejects.toThrow('revoked')
  })
})
