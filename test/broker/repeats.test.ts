import { expect, inject, test } from 'vitest'
import { through } from '../cluster/cluster.ts'
import { postgresUrl } from '../harness/postgres.ts'
import { clientId, testBroker, TestMesh } from './kit.ts'
import { slowInserts } from './slow-inserts.ts'

test('a message that comes again while the store has it, and is then not stored, is no failure of the broker’s own: it may come once more', async () => {
  const store = await postgresUrl(inject('postgres'))
  const broker = await testBroker(store)
  const mesh = await new TestMesh(broker.url, broker.clock).create()
  const [alice, bob] = [await mesh.peer('Alice'), await mesh.peer('Bob')]
  const inserts = await slowInserts(store)
  const frame = alice.sendFrame([bob.key], 'hello')
  alice.wire.send(frame)
  await inserts.waits()
  alice.wire.send(frame)
  await alice.wire.ask({ type: 'get_policy' })
  await inserts.cancel()
  await inserts.release()
  const answers = [await alice.wire.next((answer) => answer['id'] === frame['id']), await alice.wire.next((answer) => answer['id'] === frame['id'])]
  expect(answers).toMatchObject([{ code: 'storage_unavailable' }, { code: 'storage_unavailable' }])
  expect(await alice.wire.ask(frame)).toMatchObject({ type: 'ack', queued: 1 })
  expect(await broker.consistencyCheck()).toEqual([])
  for (const peer of [alice, bob]) await peer[Symbol.asyncDispose]()
  await broker[Symbol.asyncDispose]()
})

test.each([
  ['waits for the store', true],
  ['is on its way into the store', false],
])('what a recipient says of a message under an id that was taken, while it %s, leaves nothing behind once that is known', async (_, waits) => {
  const store = await postgresUrl(inject('postgres'))
  const before = await testBroker(store)
  const mesh = await new TestMesh(before.url, before.clock).create()
  const [alice, bob, carol] = [await mesh.peer('Alice'), await mesh.peer('Bob'), await mesh.peer('Carol')]
  const id = clientId()
  const { messageId } = await alice.send([bob.key], 'the first', { id })
  await before[Symbol.asyncDispose]()

  // A broker that has not seen it.
  const broker = await testBroker(store)
  broker.clock.advance(1_000)
  for (const peer of [alice, bob, carol]) {
    Object.assign(peer, { mesh: through(broker, mesh) })
    await peer.connect()
  }
  while ((await broker.consistencyCheck()).length > 0);
  const inserts = await slowInserts(store)
  if (waits) {
    alice.wire.send(alice.sendFrame([carol.key], 'under way'))
    await inserts.waits()
  }
  const other = alice.sendFrame([carol.key], 'another one', { id })
  alice.wire.send(other)
  await carol.wire.next((push) => push.type === 'push' && push['id'] === id)
  if (!waits) await inserts.waits()
  carol.receive(messageId)
  await carol.wire.ask({ type: 'get_policy' })
  await inserts.release()
  expect(await alice.wire.next((answer) => answer['id'] === id)).toMatchObject({ code: 'id_conflict' })
  expect((await alice.wire.ask({ type: 'message_status', messageId }))['recipients']).toMatchObject([{ sessionPubkey: bob.key, rung: 'stored' }])
  expect(await broker.consistencyCheck()).toEqual([])
  // The next one of its kind meets nothing of it.
  expect(await alice.wire.ask(other)).toMatchObject({ code: 'id_conflict' })
  for (const peer of [alice, bob, carol]) await peer[Symbol.asyncDispose]()
  await broker[Symbol.asyncDispose]()
})
