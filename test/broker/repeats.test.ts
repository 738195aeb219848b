import { expect, inject, test } from 'vitest'
import { postgresUrl } from '../harness/postgres.ts'
import { testBroker, TestMesh } from './kit.ts'
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
