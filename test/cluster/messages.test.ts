import type { Broker, Bus, Store } from '@claudemesh/broker'
import { openBus, openStore } from '@claudemesh/drivers'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { TestMesh } from '../broker/kit.ts'
import { TestClock } from '../harness/clock.ts'
import { postgresUrl } from '../harness/postgres.ts'
import { knows, node, peerAt, roster } from './nodes.ts'

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
})
