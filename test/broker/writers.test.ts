import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { eq, sql } from 'drizzle-orm'
import { createBroker } from '@claudemesh/broker'
import { openStore } from '@claudemesh/drivers'
import { rows } from '../../packages/broker/src/sql.ts'
import * as tables from '../../packages/broker/src/tables.ts'
import { sweepWriters } from '../../packages/broker/src/writers.ts'
import { TestClock } from '../harness/clock.ts'
import { TestMesh } from './kit.ts'

const day = 86_400_000

test('certificates of writers go when their session has ended and nothing names them any more', async () => {
  await using store = await openStore('pglite:')
  const clock = new TestClock()
  await using broker = await createBroker({ store, clock })
  const plain = new TestMesh(broker.url, clock)
  plain.allow = { ...plain.allow, state: 'plain' }
  plain.policy = plain.makePolicy(1)
  const mesh = await plain.create()
  const [alice, bob] = [await mesh.peer('Alice'), await mesh.peer('Bob')]
  const write = async (peer: typeof alice, key: string, version: number) =>
    expect(await peer.wire.ask({ type: 'set_state', key, value: 1, version })).toMatchObject({ type: 'ok', version })
  const writers = () => store.db.$count(tables.writer, eq(tables.writer.meshId, mesh.id))
  await write(alice, 'shared', 1)
  await write(bob, 'own', 1)
  await write(bob, 'shared', 2)
  expect(await writers()).toBe(2)

  // Alice's name stands nowhere now, yet her session may still write.
  expect(await sweepWriters(store.db, clock.now() + 7 * day)).toBe(0)
  expect(await sweepWriters(store.db, clock.now() + 9 * day)).toBe(1)
  expect(await writers()).toBe(1)
  const got = await bob.wire.ask({ type: 'list_state' })
  expect(got['entries']).toHaveLength(2)
  for (const peer of [alice, bob]) await peer[Symbol.asyncDispose]()
})

test('a broker of before, which names no time, has its certificates kept as long', async () => {
  await using store = await openStore('pglite:')
  const clock = new TestClock(Date.now())
  await using broker = await createBroker({ store, clock })
  const mesh = await new TestMesh(broker.url, clock).create()
  await store.db.execute(sql`insert into mesh.writer (mesh_id, hash, chain) values (${mesh.id}, 'h', '{}')`)
  expect(await sweepWriters(store.db, clock.now() + 7 * day)).toBe(0)
  expect(await sweepWriters(store.db, clock.now() + 9 * day)).toBe(1)
})

test('every table that names a writer is asked before one goes', async () => {
  await using store = await openStore('pglite:')
  const found = await rows<{ name: string }>(
    store.db,
    sql`select table_name as name from information_schema.columns where table_schema = 'mesh' and column_name = 'writer_hash'`,
  )
  const asked = readFileSync(new URL('../../packages/broker/src/writers.ts', import.meta.url), 'utf8')
  expect(found.length).toBeGreaterThan(2)
  for (const { name } of found) expect(asked).toContain(`select from mesh.${name} `)
})
