import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { BrokerOptions } from '@claudemesh/broker'
import { sessionKey } from '@claudemesh/crypto'
import type { MeshId, MessageId, SessionPubkey } from '@claudemesh/protocol'
import { Lanes } from '../../packages/broker/src/lanes.ts'
import { ReadingRoom } from '../../packages/broker/src/reading.ts'
import type { Entry } from '../../packages/broker/src/statements.ts'
import { Turn } from '../../packages/broker/src/turn.ts'
import { Line } from '../harness/line.ts'
import { postgresUrl, startPostgres, type PostgresServer } from '../harness/postgres.ts'
import { clientId, random, testBroker, TestMesh, type Peer } from './kit.ts'

/** Sends so many messages at once, without waiting for any answer; their ids. */
function flood(from: Peer, to: Peer | SessionPubkey, count: number, options: { volatile?: boolean; text?: string } = {}): string[] {
  const { id: _, type, ...rest } = from.sendFrame([typeof to === 'string' ? to : to.key], options.text ?? 'x', options)
  const ids = Array.from({ length: count }, () => clientId())
  for (const id of ids) from.wire.send({ type, id, ...rest })
  return ids
}

describe('a store that does not answer', () => {
  let server: PostgresServer
  beforeAll(async () => void (server = await startPostgres()))
  afterAll(() => server[Symbol.asyncDispose]())

  test('lets a mesh that floods run out of room by name, while another mesh is taken', async () => {
    const url = new URL(await postgresUrl(server.url))
    await using line = await Line.to(Number(url.port))
    url.port = String(line.port)
    await using broker = await testBroker(url.href, { rates: false })
    const [one, other] = [await new TestMesh(broker.url, broker.clock).create(), await new TestMesh(broker.url, broker.clock).create()]
    await using alice = await one.peer('Alice')
    const peers = [await one.peer('Bob'), await one.peer('Bert'), await one.peer('Ben')]
    await using carol = await other.peer('Carol')
    await using dave = await other.peer('Dave')
    using _ = { [Symbol.dispose]: () => line.release() }
    while ((await broker.consistencyCheck()).length > 0);
    line.stall()
    const ids = peers.flatMap((peer) => flood(alice, peer, 900))
    await alice.wire.ask({ type: 'get_policy' })
    // Until the store has shown what it takes there is room for 4096, and a mesh may have as much as is left.
    const refused = alice.wire.seen.filter((frame) => frame.type === 'error')
    expect(refused.map(({ id }) => id)).toEqual(ids.slice(2048))
    expect(refused[0]).toMatchObject({ code: 'overloaded', message: 'the broker has more to do than it can: try again in 1 s', retryAfter: 1000 })
    expect(alice.wire.seen.filter((frame) => frame.type === 'ack')).toEqual([])
    const frame = carol.sendFrame([dave.key], 'and I?')
    const stored = carol.wire.ask(frame)
    expect(await dave.wire.next('push')).toMatchObject({ id: frame['id'] })
    line.release()
    expect(await stored).toMatchObject({ type: 'ack', queued: 1 })
    for (const id of [ids.at(2047), ids.at(-1)]) await alice.wire.next((answer) => answer['id'] === id)
    const [bob] = peers as [Peer]
    bob.surface(...bob.wire.seen.flatMap((seen) => (seen.type === 'push' ? [seen['messageId']] : [])))
    expect(await alice.wire.ask({ ...alice.sendFrame([bob.key], 'again'), id: ids.at(-1) })).toMatchObject({ type: 'ack', queued: 1 })
    for (const peer of peers) await peer[Symbol.asyncDispose]()
  })
})

test('a connection that sends without end is read to its end, in order', async () => {
  await using broker = await testBroker('pglite:', { rates: false })
  const mesh = await new TestMesh(broker.url, broker.clock).create()
  await using alice = await mesh.peer('Alice')
  await using bob = await mesh.peer('Bob')
  const ids = flood(alice, bob, 2000, { volatile: true, text: 'x'.repeat(1000) })
  await alice.wire.next(({ id }) => id === ids.at(-1))
  expect(alice.wire.seen.flatMap(({ type, id }) => (type === 'ack' ? [id] : []))).toEqual(ids)
})

test('beside one that sends without end, another gets its turn after a share of it', async () => {
  const handled: string[] = []
  const tap: BrokerOptions['tap'] = ({ senderPubkey }) => void handled.push(senderPubkey)
  await using broker = await testBroker('pglite:', { rates: false, tap })
  const mesh = await new TestMesh(broker.url, broker.clock).create()
  await using alice = await mesh.peer('Alice')
  await using bob = await mesh.peer('Bob')
  const gone = sessionKey(random(32)).publicKey
  const frame = alice.sendFrame([gone], 'x'.repeat(10_000), { volatile: true })
  const ids = flood(alice, gone, 3000, { volatile: true, text: 'x'.repeat(10_000) })
  while (handled.length < 3000) await bob.send([gone], 'and I?', { volatile: true })
  await alice.wire.next(({ id }) => id === ids.at(-1))
  const between = handled
    .join(' ')
    .split(bob.key)
    .map((run) => run.split(' ').filter((key) => key === alice.key).length)
  const inOneTurn = Math.ceil((512 * 1024) / JSON.stringify(frame).length)
  // Bob asks again when he has his answer, and that takes up to three turns.
  expect(Math.max(...between)).toBeLessThanOrEqual(3 * inOneTurn)
})

test('who reads alone may bring much in one turn, and of many each its share, but never less than the system gives at once', async () => {
  const room = new ReadingRoom(new Turn())
  const turnOf = async (readers: number) => {
    const shares = Array.from({ length: readers }, () => (room.enter(), room.share / 1024))
    await new Promise(setImmediate)
    return [...new Set(shares)]
  }
  expect(await turnOf(1)).toEqual([512])
  expect(await turnOf(4)).toEqual([512])
  expect(await turnOf(50)).toEqual([128])
  expect(await turnOf(1)).toEqual([48])
  expect(await turnOf(1)).toEqual([512])
})

describe('what waits for the writer', () => {
  const entry = (mesh: string, n: number, bytes = 10) =>
    ({ meshId: mesh as MeshId, id: `${mesh}${n}` as MessageId, sender: n % 2 ? 'odd' : 'even', body: 'x'.repeat(bytes), createdAt: n }) as unknown as Entry
  const lanes = (...entries: Entry[]) => {
    const made = new Lanes()
    for (const one of entries) made.push(one)
    return made
  }
  const ids = (entries: readonly Entry[]) => entries.map(({ id }) => id).join(' ')

  test('goes by turns: one message of each mesh, each mesh’s in their order', () => {
    const waiting = lanes(...[1, 2, 3, 4, 5, 6].map((n) => entry('a', n)), entry('b', 7), entry('b', 8), entry('c', 9))
    expect(ids(waiting.take(4, 1000))).toBe('a1 b7 c9 a2')
    expect(waiting.oldest).toEqual({ place: 3, since: 3 })
    waiting.push(entry('c', 10))
    expect(ids(waiting.take(2, 1000))).toBe('b8 a3')
    expect(ids(waiting.take(9, 1000))).toBe('c10 a4 a5 a6')
    expect(waiting).toMatchObject({ size: 0, bytes: 0, last: 10, oldest: undefined })
  })

  test('is taken up to a size, but always one', () => {
    const waiting = lanes(entry('a', 1, 500), entry('a', 2, 40), entry('b', 3, 40), entry('b', 4, 40))
    expect(ids(waiting.take(9, 100))).toBe('a1')
    expect(ids(waiting.take(9, 100))).toBe('b3 a2')
    expect(waiting.bytes).toBe(40)
  })

  test('is taken of some senders alone, in their order, and the rest keeps its turns', () => {
    const waiting = lanes(...[1, 2, 3, 4, 5].map((n) => entry('a', n)), entry('b', 6), entry('b', 7), entry('c', 8))
    expect(ids(waiting.take(1, 1000))).toBe('a1')
    expect(ids(waiting.takeOf([entry('a', 1), entry('b', 2), entry('d', 1)]))).toBe('a3 a5 b6')
    expect(waiting).toMatchObject({ size: 4, bytes: 40, oldest: { place: 2, since: 2 } })
    expect(ids(waiting.takeOf([entry('c', 2)]))).toBe('c8')
    expect(ids(waiting.take(9, 1000))).toBe('b7 a2 a4')
    expect(waiting).toMatchObject({ size: 0, bytes: 0, oldest: undefined })
  })

  test('of many messages none is lost or repeated', () => {
    const waiting = lanes(...Array.from({ length: 5000 }, (_, n) => entry(n % 7 === 0 ? 'b' : 'a', n)))
    const taken: Entry[] = []
    while (waiting.size > 0) taken.push(...waiting.take(512, 1e9))
    expect(new Set(taken.map(({ id }) => id)).size).toBe(5000)
    for (const mesh of ['a', 'b']) {
      const places = taken.filter(({ meshId }) => (meshId as string) === mesh).map(({ createdAt }) => createdAt)
      expect(places).toEqual(places.toSorted((a, b) => a - b))
    }
  })
})
