import postgres from 'postgres'
import { expect, inject, test } from 'vitest'
import { postgresUrl } from '../harness/postgres.ts'
import { testBroker, TestMesh } from './kit.ts'

test('a group that the store did not take was not joined: nobody is told of it, nothing goes there, and it can be joined with the same word later', async () => {
  const store = await postgresUrl(inject('postgres'))
  const broker = await testBroker(store)
  const mesh = await new TestMesh(broker.url, broker.clock).create()
  const [alice, bob] = [await mesh.peer('Alice'), await mesh.peer('Bob')]
  const sql = postgres(store, { max: 1, onnotice: () => {} })
  await sql`alter table mesh.presence add constraint full_for_now check (groups = '[]') not valid`
  alice.groups = [{ name: 'frontend' }]
  const join = { type: 'join_group', name: 'frontend', presence: alice.presence() }
  expect(await alice.wire.ask(join)).toMatchObject({ type: 'error', code: 'internal' })
  await bob.wire.ask({ type: 'get_policy' })
  expect(bob.wire.seen.filter((frame) => JSON.stringify(frame).includes(join.presence))).toEqual([])
  expect(await bob.send([alice.key], 'hello', { targetSpec: '@frontend' })).toMatchObject({ queued: 0, gone: [alice.key] })
  expect(await broker.consistencyCheck()).toEqual([])
  await sql`alter table mesh.presence drop constraint full_for_now`
  await sql.end()
  expect(await alice.wire.ask(join)).toMatchObject({ type: 'ok' })
  expect(await bob.wire.next((frame) => frame.type === 'peer_update' && JSON.stringify(frame).includes(join.presence))).toBeDefined()
  expect(await bob.send([alice.key], 'hello', { targetSpec: '@frontend' })).toMatchObject({ queued: 1 })
  for (const peer of [alice, bob]) await peer[Symbol.asyncDispose]()
  await broker[Symbol.asyncDispose]()
})

test('a session that ends while its group is being stored stays ended', async () => {
  const store = await postgresUrl(inject('postgres'))
  const broker = await testBroker(store)
  const mesh = await new TestMesh(broker.url, broker.clock).create()
  const [alice, bob] = [await mesh.peer('Alice'), await mesh.peer('Bob')]
  const sql = postgres(store, { max: 2, onnotice: () => {} })
  const held = Promise.withResolvers<void>()
  const locked = Promise.withResolvers<void>()
  const locking = sql.begin(async (tx) => {
    await tx`select 1 from mesh.presence where session_pubkey = ${alice.key} for update`
    locked.resolve()
    await held.promise
  })
  await locked.promise
  alice.groups = [{ name: 'frontend' }]
  alice.wire.send({ type: 'join_group', id: 'join', name: 'frontend', presence: alice.presence() })
  while ((await sql`select 1 from pg_locks where not granted`).length === 0);
  alice.wire.send({ type: 'bye' })
  alice.wire.ws.close()
  await bob.wire.next('peer_gone')
  held.resolve()
  await locking
  await sql.end()
  expect(await bob.send([alice.key], 'hello', { targetSpec: '@frontend' })).toMatchObject({ queued: 0, gone: [alice.key] })
  expect(await broker.consistencyCheck()).toEqual([])
  await bob[Symbol.asyncDispose]()
  await broker[Symbol.asyncDispose]()
})
