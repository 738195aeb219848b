import { createBroker, type Broker } from '@claudemesh/broker'
import { openBus, openStore } from '@claudemesh/drivers'
import postgres from 'postgres'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { brokerProcess } from '../cluster/processes.ts'
import { TestClock } from '../harness/clock.ts'
import { Line } from '../harness/line.ts'
import { postgresUrl, startPostgres, type PostgresServer } from '../harness/postgres.ts'
import { testBroker, TestMesh } from './kit.ts'

let server: PostgresServer
beforeAll(async () => void (server = await startPostgres()))
afterAll(() => server[Symbol.asyncDispose]())

/** The connections that hold the claim on this database, as soon as there are any but these. */
async function claimants(url: string, but: readonly number[] = []): Promise<number[]> {
  const sql = postgres(url, { max: 1, onnotice: () => {} })
  const held = () =>
    sql<{ pid: number }[]>`select pid from pg_locks where locktype = 'advisory' and database = (select oid from pg_database where datname = current_database())`
  let found: number[] = []
  while (found.length === 0 || found.some((pid) => but.includes(pid))) found = await held().then((rows) => rows.map(({ pid }) => pid))
  await sql.end()
  return found
}

/** The address of the same database through a line. */
async function through(url: string): Promise<{ line: Line; lined: string }> {
  const at = new URL(url)
  const line = await Line.to(Number(at.port))
  at.port = String(line.port)
  return { line, lined: at.href }
}

const refused = { code: 'unavailable', message: expect.stringContaining('another broker serves this store') as string }

async function serves(broker: Broker, mesh: TestMesh): Promise<void> {
  await using alice = await mesh.peer('Alice')
  await using bob = await mesh.peer('Bob')
  expect(await alice.send([bob.key], 'hello')).toMatchObject({ type: 'ack', queued: 1 })
  expect(broker.figures().sessions).toBe(2)
}

describe.each(['fast', 'immediate'] as const)('a PostgreSQL that is stopped (%s) and started again', (how) => {
  test('finds its broker with the claim retaken, and no second one comes in', async () => {
    const url = await postgresUrl(server.url)
    await using broker = await testBroker(url)
    const mesh = await new TestMesh(broker.url, broker.clock).create()
    await server.stop(how)
    await server.start()
    await claimants(url)
    await using store = await openStore(url)
    await expect(createBroker({ store, clock: new TestClock() })).rejects.toMatchObject(refused)
    await serves(broker, mesh)
  })
})

test('a broker that finds the store taken by another says so, lets its sessions go and ends; the other serves on', async () => {
  const url = await postgresUrl(server.url)
  const { line, lined } = await through(url)
  await using _ = line
  const lines: string[] = []
  await using first = await testBroker(lined, { log: (level, event) => void lines.push(`${level} ${event}`) })
  const mesh = await new TestMesh(first.url, first.clock).create()
  await using alice = await mesh.peer('Alice')
  line.refuse()
  line.cut()
  await using second = await whenFree(url)
  line.refuse(false)
  expect(await first.failed).toMatchObject(refused)
  expect((await alice.wire.closed).code).toBe(1012)
  expect(lines).toContain('error claim_lost')
  await serves(second, Object.assign(new TestMesh(second.url, second.clock), { ...mesh, url: second.url }))
})

/** A broker on this store as soon as PostgreSQL has noticed that the connection of the one before is gone. */
async function whenFree(url: string): ReturnType<typeof testBroker> {
  for (;;) {
    const broker = await testBroker(url).catch((error: unknown) => {
      expect(error).toMatchObject(refused)
      return undefined
    })
    if (broker) return broker
  }
}

test('of several on one bus each retakes its share of the claim, and a lone one stays out', async () => {
  const url = await postgresUrl(server.url)
  const clock = new TestClock()
  const bus = { ...(await openBus('local:')), shared: true }
  await using one = await testBroker(url, { bus, clock })
  await using two = await testBroker(url, { bus, clock })
  await server.stop('immediate')
  await server.start()
  await claimants(url)
  await using store = await openStore(url)
  await expect(createBroker({ store, clock })).rejects.toMatchObject(refused)
  const mesh = await new TestMesh(one.url, clock).create()
  await serves(one, mesh)
  expect(two.port).toBeGreaterThan(0)
})

test('a claim that the server let go of unnoticed is looked after at every ping', async () => {
  const url = await postgresUrl(server.url)
  const { line, lined } = await through(url)
  await using _ = line
  await using first = await testBroker(lined)
  line.forget()
  await using second = await whenFree(url)
  first.clock.advance(30_000)
  expect(await first.failed).toMatchObject(refused)
  expect(second.port).toBeGreaterThan(0)
})

test('a connection that broke on this side alone is no other broker', async () => {
  const url = await postgresUrl(server.url)
  const { line, lined } = await through(url)
  await using _ = line
  await using broker = await testBroker(lined)
  const mesh = await new TestMesh(broker.url, broker.clock).create()
  const before = await claimants(url)
  line.abandon()
  await claimants(url, before)
  await serves(broker, mesh)
})

test('the program ends with the reason when another has taken the store', async () => {
  const url = await postgresUrl(server.url)
  const { line, lined } = await through(url)
  await using _ = line
  await using first = await brokerProcess({ STORE_URL: lined })
  line.refuse()
  line.cut()
  await using second = await whenFree(url)
  line.refuse(false)
  expect(await first.ended).toBe(1)
  expect(second.port).toBeGreaterThan(0)
})
