import { once } from 'node:events'
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { sql } from 'drizzle-orm'
import type { Store } from '@claudemesh/broker/ports'
import { openStore } from '@claudemesh/drivers'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { Line } from '../harness/line.ts'
import { postgresUrl, startPostgres, type PostgresServer } from '../harness/postgres.ts'

const connections = 8

let server: PostgresServer
beforeAll(async () => void (server = await startPostgres()))
afterAll(() => server[Symbol.asyncDispose]())

const all = <T>(ask: (n: number) => Promise<T>) => Promise.all(Array.from({ length: connections }, (_, n) => ask(n)))

async function run(store: Pick<Store, 'db'>, statement: string): Promise<unknown[]> {
  return store.db.execute(sql.raw(statement)) as unknown as Promise<unknown[]>
}

/** A store all of whose connections stand. */
async function warm(url: string): Promise<Store> {
  const store = await openStore(url)
  await all(() => run(store, 'select pg_sleep(0.1)'))
  return store
}

/** How many connections of this database run something. */
async function busy(store: Store, want: number): Promise<void> {
  const others = `select 1 from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() and query like 'select pg_sleep(600)%' and state = 'active'`
  while ((await run(store, others)).length < want);
}

/** Something that listens where PostgreSQL should. */
async function listener(stack: AsyncDisposableStack, accept: (socket: Socket) => void): Promise<{ server: Server; url: string }> {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    accept(socket)
  })
  stack.defer(async () => {
    for (const socket of sockets) socket.destroy()
    server.close()
    await once(server, 'close')
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return { server, url: `postgres://test@127.0.0.1:${(server.address() as AddressInfo).port}/nowhere` }
}

test('what is asked while connections close is refused or answered; none of them is lost for it', async () => {
  const url = new URL(await postgresUrl(server.url))
  await using line = await Line.to(Number(url.port))
  await using direct = await openStore(url.href)
  url.port = String(line.port)
  await using store = await warm(url.href)
  const again = () => run(store, 'select 1').catch(() => undefined)
  // Each that is refused asks at once on a connection that is about to close too.
  const lanes = Array.from({ length: connections / 2 }, () => run(store, 'select pg_sleep(600)').catch(async () => all(again)))
  await busy(direct, connections / 2)
  line.cut()
  await Promise.all(lanes)
  expect(await all(() => run(store, 'select pg_sleep(0.1), 1 as answer'))).toMatchObject(Array.from({ length: connections }, () => [{ answer: 1 }]))
})

describe.each(['fast', 'immediate'] as const)('a PostgreSQL that is stopped (%s) and started again', (how) => {
  test('answers at once: what it said before it stopped refuses nothing that is asked after', async () => {
    const url = await postgresUrl(server.url)
    await using store = await warm(url)
    const asked = Array.from({ length: connections - 1 }, () => run(store, 'select pg_sleep(600)').catch(() => 'refused'))
    await busy(store, connections - 1)
    await server.stop(how)
    expect(await Promise.all(asked)).toEqual(asked.map(() => 'refused'))
    await expect(run(store, 'select 1')).rejects.toThrow()
    await server.start()
    expect(await all(() => run(store, 'select pg_sleep(0.1), 1 as answer'))).toMatchObject(Array.from({ length: connections }, () => [{ answer: 1 }]))
  })
})

test('a transaction whose connection was lost asks nothing more: no part of it is stored by itself', async () => {
  const url = await postgresUrl(server.url)
  await using direct = await openStore(url)
  await using store = await warm(url)
  await run(direct, 'create table part (n int)')
  const [lost, gone] = [Promise.withResolvers<void>(), Promise.withResolvers<unknown>()]
  const work = store.db.transaction(async (tx) => {
    const [{ pid } = {}] = (await run({ db: tx }, 'insert into part values (1) returning pg_backend_pid() as pid')) as {
      pid?: number
    }[]
    await run(direct, `select pg_terminate_backend(${pid}, 5000)`)
    await lost.promise
    gone.resolve(await run({ db: tx }, 'insert into part values (2)').catch((error: unknown) => error))
  })
  await expect(work).rejects.toMatchObject({ code: 'CONNECTION_CLOSED' })
  // The same connection serves others meanwhile.
  await all(() => run(store, 'select pg_sleep(0.1)'))
  lost.resolve()
  expect(await gone.promise).toMatchObject({ cause: { code: 'CONNECTION_CLOSED' } })
  expect(await run(direct, 'select n from part')).toEqual([])
})

test('where connections are accepted and closed at once, a query is refused like where none is accepted', async () => {
  await using stack = new AsyncDisposableStack()
  const { url } = await listener(stack, (socket) => socket.end())
  await expect(openStore(url)).rejects.toMatchObject({ code: 'CONNECTION_CLOSED' })
})

describe('where connections are accepted and nothing is ever said', () => {
  test.for([
    { address: '', seconds: 5 },
    { address: '?connect_timeout=2', seconds: 2 },
  ])('a query is refused after $seconds s', async ({ address, seconds }) => {
    await using stack = new AsyncDisposableStack()
    const { server, url } = await listener(stack, () => {})
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    stack.defer(() => void vi.useRealTimers())
    const outcome = openStore(url + address).then(
      () => 'opened',
      (error: unknown) => error,
    )
    const accepted = once(server, 'connection')
    // The first attempt is made by a timer of no length.
    while (vi.getTimerCount() === 0) await new Promise((resolve) => setImmediate(resolve))
    await vi.advanceTimersByTimeAsync(1)
    await accepted
    await vi.advanceTimersByTimeAsync(seconds * 1000)
    expect(await outcome).toMatchObject({ code: 'CONNECT_TIMEOUT' })
  })
})
