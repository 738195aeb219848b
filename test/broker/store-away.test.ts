import type { Log } from '@claudemesh/protocol'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Line } from '../harness/line.ts'
import { postgresUrl, startPostgres, type PostgresServer } from '../harness/postgres.ts'
import { dial, testBroker, TestMesh, type Frame, type Peer } from './kit.ts'

let server: PostgresServer
beforeAll(async () => void (server = await startPostgres()))
afterAll(() => server[Symbol.asyncDispose]())

async function watched(url: string) {
  const lines: string[] = []
  const log: Log = (level, event, fields) => void lines.push(`${level} ${event} ${JSON.stringify(fields ?? {})}`)
  const broker = await testBroker(url, { log })
  return { broker, lines, mesh: await new TestMesh(broker.url, broker.clock).create() }
}

type World = Awaited<ReturnType<typeof watched>>

/** Moves time on until the broker's check finds nothing: what failed is tried again each second. */
async function consistent({ broker }: World): Promise<void> {
  for (;;) {
    broker.clock.advance(1_000)
    // The pool may still learn of connections that ended.
    const found = await broker.consistencyCheck().catch(() => ['the store does not answer'])
    if (found.length === 0) return
  }
}

async function rungOf(peer: Peer, messageId: unknown): Promise<string> {
  const status = await peer.wire.ask({ type: 'message_status', messageId })
  return (status['recipients'] as Frame[])[0]?.['rung'] as string
}

describe.each(['fast', 'immediate'] as const)('a PostgreSQL that is stopped (%s) and started again', (how) => {
  test('is named to senders, costs receipts and goodbyes time alone, and no log shows what clients sent', async () => {
    const world = await watched(await postgresUrl(server.url))
    const { broker, lines, mesh } = world
    const [alice, bob, carol] = [await mesh.peer('Alice'), await mesh.peer('Bob'), await mesh.peer('Carol')]
    const { messageId } = await alice.send([bob.key], 'stored')
    await bob.wire.next('push')
    await server.stop(how)
    const refused = alice.sendFrame([bob.key], 'into the void')
    expect(await alice.wire.ask(refused)).toMatchObject({ type: 'error', code: 'storage_unavailable' })
    expect(await alice.wire.ask({ type: 'message_status', messageId })).toMatchObject({ code: 'storage_unavailable' })
    bob.surface(messageId)
    carol.wire.send({ type: 'bye' })
    await carol.wire.closed
    await bob.wire.ask({ type: 'get_policy' })
    await server.start()
    await consistent(world)
    expect(await rungOf(alice, messageId)).toBe('surfaced')
    expect(await alice.send([bob.key, carol.key], 'again', { shared: true })).toMatchObject({ queued: 1, gone: [carol.key] })
    expect(lines.filter((line) => line.includes('store_failed')).length).toBeGreaterThan(0)
    expect(lines.filter((line) => line.includes(refused['ciphertext'] as string) || line.includes('insert into'))).toEqual([])
    for (const peer of [alice, bob]) await peer[Symbol.asyncDispose]()
    await broker[Symbol.asyncDispose]()
  })

  test('lets a session that fell behind have its messages, in order, once it is back', async () => {
    const world = await watched(await postgresUrl(server.url))
    const { broker, lines, mesh } = world
    const [alice, bob] = [await mesh.peer('Alice'), await mesh.peer('Bob')]
    bob.wire.ws.pause()
    const ids: unknown[] = []
    while (!lines.some((line) => line.includes('left_to_queue'))) ids.push((await alice.send([bob.key], 'x'.repeat(60_000)))['messageId'])
    await server.stop(how)
    bob.wire.ws.resume()
    while (!lines.some((line) => line.includes('backlog_failed'))) await bob.wire.ask({ type: 'get_policy' })
    await server.start()
    while (bob.wire.seen.filter(({ type }) => type === 'push').length < ids.length) {
      broker.clock.advance(1_000)
      await bob.wire.ask({ type: 'message_status', messageId: 'A'.repeat(22) })
    }
    expect(bob.wire.seen.filter(({ type }) => type === 'push').map((push) => push['messageId'])).toEqual(ids)
    await consistent(world)
    for (const peer of [alice, bob]) await peer[Symbol.asyncDispose]()
    await broker[Symbol.asyncDispose]()
  })
})

test('a PostgreSQL that answers after ten seconds delays what is stored, and nothing else; a hello in the meantime is refused by name', async () => {
  const url = new URL(await postgresUrl(server.url))
  await using line = await Line.to(Number(url.port))
  url.port = String(line.port)
  const world = await watched(url.href)
  const { broker, mesh } = world
  const [alice, bob] = [await mesh.peer('Alice'), await mesh.peer('Bob')]
  await consistent(world)
  line.stall()
  const frame = alice.sendFrame([bob.key], 'slowly')
  const stored = alice.wire.ask(frame)
  const { wire, nonce } = await dial(broker.url)
  wire.send(new TestMesh(broker.url, broker.clock).createFrame(nonce))
  expect(await bob.wire.next('push')).toMatchObject({ id: frame['id'] })
  expect(await alice.send([bob.key], 'at once', { volatile: true })).toMatchObject({ volatile: true })
  expect(await alice.wire.ask({ type: 'get_policy' })).toMatchObject({ type: 'policy' })
  expect(alice.wire.seen.filter(({ type, id }) => type === 'ack' && id === frame['id'])).toEqual([])
  broker.clock.advance(10_000)
  expect(await wire.next('error')).toMatchObject({ code: 'hello_timeout' })
  line.release()
  expect(await stored).toMatchObject({ type: 'ack', queued: 1 })
  for (const peer of [alice, bob]) await peer[Symbol.asyncDispose]()
  await broker[Symbol.asyncDispose]()
})
