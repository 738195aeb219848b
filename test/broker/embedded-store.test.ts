import { sql } from 'drizzle-orm'
import { expect, test } from 'vitest'
import { openStore } from '@claudemesh/drivers'

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
