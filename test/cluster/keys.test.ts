import type { Broker, Bus, Store } from '@claudemesh/broker'
import { openBus, openStore } from '@claudemesh/drivers'
import { afterAll, beforeAll, expect, inject, test } from 'vitest'
import { Keys } from '../broker/epochs.ts'
import { TestMesh } from '../broker/kit.ts'
import { TestClock } from '../harness/clock.ts'
import { postgresUrl } from '../harness/postgres.ts'
import { knows, node, peerAt } from './nodes.ts'

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

test('a member at one node gets the mesh key from a member at the other', async () => {
  const mesh = await new TestMesh(a.url, clock).create()
  const member = await mesh.enrolled('Bob')
  await using alice = await peerAt(a, mesh, 'Alice')
  await using bob = await peerAt(b, mesh, 'Bob', { member })
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
