import postgres from 'postgres'
import { expect, inject, test } from 'vitest'
import { postgresUrl } from '../harness/postgres.ts'
import { testBroker, TestMesh } from './kit.ts'

test('a session that says goodbye while its queue cannot be read leaves nothing behind that goes on trying', async () => {
  const store = await postgresUrl(inject('postgres'))
  const failures: string[] = []
  const broker = await testBroker(store, { log: (_, event) => void (event === 'backlog_failed' && failures.push(event)) })
  const mesh = await new TestMesh(broker.url, broker.clock).create()
  const [alice, bob] = [await mesh.peer('Alice'), await mesh.peer('Bob')]
  await bob.drop()
  await alice.wire.next('peer_update')
  const sql = postgres(store, { max: 1, onnotice: () => {} })
  await sql`alter table mesh.delivery rename to elsewhere`
  await bob.connect()
  while (failures.length < 2) {
    broker.clock.advance(1000)
    await alice.wire.ask({ type: 'message_status', messageId: 'A'.repeat(22) })
  }
  bob.wire.send({ type: 'bye' })
  await bob.wire.closed
  // An attempt may have been under way.
  await alice.wire.ask({ type: 'message_status', messageId: 'A'.repeat(22) })
  const before = failures.length
  for (let second = 0; second < 5; second++) {
    broker.clock.advance(1000)
    await alice.wire.ask({ type: 'message_status', messageId: 'A'.repeat(22) })
  }
  expect(failures.length).toBe(before)
  await sql`alter table mesh.elsewhere rename to delivery`
  await sql.end()
  await alice[Symbol.asyncDispose]()
  await broker[Symbol.asyncDispose]()
})
