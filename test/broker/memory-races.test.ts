import postgres from 'postgres'
import { expect, inject, test } from 'vitest'
import { postgresUrl } from '../harness/postgres.ts'
import { b64u, testBroker, TestMesh } from './kit.ts'

const record = () => ({ e: 1, n: b64u(24), c: b64u(300) })

test('a memory that two forget at the same time is counted as forgotten once, and moves up once', async () => {
  const store = await postgresUrl(inject('postgres'))
  const broker = await testBroker(store)
  const mesh = await new TestMesh(broker.url, broker.clock).create()
  const [alice, bob] = [await mesh.peer('Alice'), await mesh.peer('Bob')]
  const [gone, kept] = [b64u(16), b64u(16)]
  for (const memoryId of [gone, kept]) expect(await alice.wire.ask({ type: 'remember', memoryId, record: record() })).toMatchObject({ type: 'memory_stored' })
  // A writer keeps its certificates first.
  for (const peer of [alice, bob]) await peer.wire.ask({ type: 'forget', memoryId: b64u(16), record: record() })
  const sql = postgres(store, { max: 2, onnotice: () => {} })
  const [held, locked] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  const locking = sql.begin(async (tx) => {
    await tx`select 1 from mesh.memory_head where mesh_id = ${mesh.id} for update`
    locked.resolve()
    await held.promise
  })
  await locked.promise
  const answers = [alice, bob].map((peer) => peer.wire.ask({ type: 'forget', memoryId: gone, record: record() }))
  while ((await sql`select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`).length < 2);
  held.resolve()
  await locking
  for (const answer of await Promise.all(answers)) expect(answer).toMatchObject({ type: 'ok' })
  expect(await sql`select seq::int, live, total from mesh.memory_head where mesh_id = ${mesh.id}`).toEqual([{ seq: 3, live: 1, total: 2 }])
  await sql.end()
  for (const peer of [alice, bob]) await peer[Symbol.asyncDispose]()
  await broker[Symbol.asyncDispose]()
})

test('a memory that comes twice at the same time, as after a reconnect, is counted once', async () => {
  const store = await postgresUrl(inject('postgres'))
  const broker = await testBroker(store)
  const mesh = await new TestMesh(broker.url, broker.clock).create()
  const [alice, bob] = [await mesh.peer('Alice'), await mesh.peer('Bob')]
  for (const peer of [alice, bob]) await peer.wire.ask({ type: 'remember', memoryId: b64u(16), record: record() })
  const sql = postgres(store, { max: 2, onnotice: () => {} })
  const [held, locked] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  const locking = sql.begin(async (tx) => {
    await tx`select 1 from mesh.memory_head where mesh_id = ${mesh.id} for update`
    locked.resolve()
    await held.promise
  })
  await locked.promise
  const frame = { type: 'remember', memoryId: b64u(16), record: record() }
  const answers = [alice, bob].map((peer) => peer.wire.ask(frame))
  while ((await sql`select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`).length < 2);
  held.resolve()
  await locking
  for (const answer of await Promise.all(answers)) expect(answer).toMatchObject({ type: 'memory_stored' })
  expect(await sql`select live, total from mesh.memory_head where mesh_id = ${mesh.id}`).toEqual([{ live: 3, total: 3 }])
  await sql.end()
  for (const peer of [alice, bob]) await peer[Symbol.asyncDispose]()
  await broker[Symbol.asyncDispose]()
})
