import { expect, test } from 'vitest'
import { createBroker } from '@claudemesh/broker'
import { TestClock } from '../harness/clock.ts'
import { OffClock } from '../harness/off-clock.ts'
import { testStore } from '../harness/store.ts'
import { Peer, TestMesh, type Frame } from './kit.ts'

const hour = 3_600_000

test.each([
  ['ahead', hour],
  ['back', -hour],
])('a broker whose clock jumps an hour %s keeps its sessions and their mail, and refuses a hello by name until it is set right', async (_, jump) => {
  const clock = new TestClock()
  const off = new OffClock(clock)
  await using broker = await createBroker({ store: await testStore(), clock: off })
  const mesh = await new TestMesh(broker.url, clock).create()
  await using alice = await mesh.peer('Alice')
  await using bob = await mesh.peer('Bob')
  const late = new Peer(mesh, { name: 'Late' })

  off.off = jump
  const { messageId } = await alice.send([bob.key], 'across the jump')
  expect(await bob.wire.next('push')).toMatchObject({ messageId })
  bob.surface(messageId)
  expect(await alice.wire.next('delivery')).toMatchObject({ updates: [{ messageId, rung: 'surfaced' }] })
  const refused = await late.connect().then(
    () => '',
    (error: Error) => error.message,
  )
  expect(JSON.parse(refused)).toMatchObject({ code: 'clock_skew', serverTime: clock.now() + jump })
  // Nobody is stale or gone for it.
  clock.advance(60_000)
  const list = await alice.wire.ask({ type: 'list_peers' })
  expect((list['peers'] as Frame[]).map((peer) => peer['connected'])).toEqual([true, true])
  await bob.drop()
  await alice.wire.next('peer_update')
  expect(await alice.send([bob.key], 'while away')).toMatchObject({ queued: 1 })

  off.off = 0
  expect(await bob.connect()).toMatchObject({ queued: 1 })
  await bob.wire.next('push')
  await late.connect()
  await late[Symbol.asyncDispose]()
  expect(await broker.consistencyCheck()).toEqual([])
})
