import { once } from 'node:events'
import type { Worker } from 'node:worker_threads'
import { openStore } from '@claudemesh/drivers'
import { sql } from 'drizzle-orm'
import { expect, test } from 'vitest'
import { testBroker, TestMesh } from './kit.ts'

const count = async (db: { execute: (query: ReturnType<typeof sql>) => unknown }) =>
  ((await db.execute(sql`select count(*)::int as n from public.note`)) as { rows: { n: number }[] }).rows[0]?.n

test('a transaction of the embedded store is whole or nothing, and nobody sees or joins it half done', async () => {
  await using store = await openStore('pglite:')
  await store.db.execute(sql`create table public.note (text text)`)

  const failing = store.db.transaction(async (tx) => {
    await tx.execute(sql`insert into public.note values ('half')`)
    await tx.execute(sql`insert into public.nothing values (1)`)
  })
  const beside = store.db.execute(sql`insert into public.note values ('beside')`)
  await expect(failing).rejects.toThrow()
  await beside
  expect(await count(store.db)).toBe(1)

  const order = await Promise.all(
    [1, 2, 3].map((n) => store.db.transaction(async (tx) => [n, await count(tx), await tx.execute(sql`insert into public.note values ('x')`)][1])),
  )
  expect(order).toEqual([1, 2, 3])
  await expect(store.db.execute(sql`select broken`)).rejects.toThrow()
  expect(await count(store.db)).toBe(4)
})

test('a store that was closed refuses, in words', async () => {
  const store = await openStore('pglite:')
  await store[Symbol.asyncDispose]()
  await expect(store.db.execute(sql`select 1`)).rejects.toThrow(
    expect.objectContaining({ cause: expect.objectContaining({ message: 'the embedded store has ended' }) }),
  )
})

test('what the embedded store refuses keeps its code', async () => {
  await using store = await openStore('pglite:')
  await expect(store.db.execute(sql`select broken`)).rejects.toThrow(expect.objectContaining({ cause: expect.objectContaining({ code: '42703' }) }))
})

test('a broker whose embedded store ends by itself tells its sessions to come back, and ends with the reason', async () => {
  const started = once(process, 'worker') as Promise<[Worker]>
  await using broker = await testBroker('pglite:')
  const [thread] = await started
  const mesh = await new TestMesh(broker.url, broker.clock).create()
  await using alice = await mesh.peer('Alice')
  await thread.terminate()
  expect(await broker.failed).toMatchObject({ code: 'storage_unavailable', message: expect.stringContaining('start the broker again') })
  expect((await alice.wire.closed).code).toBe(1012)
})
