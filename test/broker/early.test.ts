import { sql } from 'drizzle-orm'
import { openStore } from '@claudemesh/drivers'
import postgres from 'postgres'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { rows } from '../../packages/broker/src/sql.ts'
import { postgresUrl, startPostgres, type PostgresServer } from '../harness/postgres.ts'
import { testBroker, TestMesh, type Frame, type Peer } from './kit.ts'

let server: PostgresServer
beforeAll(async () => void (server = await startPostgres()))
afterAll(() => server[Symbol.asyncDispose]())

/** A broker, and its store past it. */
async function world(url: string) {
  const [broker, store] = [await testBroker(url), await openStore(url)]
  const mesh = await new TestMesh(broker.url, broker.clock).create()
  /** How a delivery stands, and whether it was stored so at once, in its message's own transaction. */
  const stored = (messageId: unknown, recipient: string) =>
    rows<Record<string, unknown>>(
      store.db,
      sql`select d.rung, d.reason, d.received_at is not null as received, d.xmin = m.xmin as at_once from mesh.delivery d
        join mesh.message m on m.id = d.message_id and m.mesh_id = d.mesh_id where d.message_id = ${messageId} and d.recipient_pubkey = ${recipient}`,
    )
  const dispose = async () => {
    for (const one of [broker, store]) await one[Symbol.asyncDispose]()
  }
  return { url, broker, mesh, stored, [Symbol.asyncDispose]: dispose }
}

type World = Awaited<ReturnType<typeof world>>

/** Resolves when everybody who is connected has been shown their queue, so that what comes is pushed at once. */
async function atRest({ broker }: World): Promise<void> {
  while ((await broker.consistencyCheck()).length > 0);
}

/** Keeps messages from being stored, until what it gives is called. */
async function lock(w: World): Promise<() => Promise<void>> {
  await atRest(w)
  const client = postgres(w.url, { max: 1, onnotice: () => {} })
  await client.unsafe('begin; lock table mesh.message in exclusive mode')
  return () => client.end()
}

/** Keeps a message from being stored, so that those sent from now on wait. */
async function holdBack(w: World, alice: Peer, bob: Peer): Promise<() => Promise<void>> {
  const release = await lock(w)
  await pushed(alice, alice.sendFrame([bob.key], 'under way'), bob)
  return release
}

/** Sends without waiting for the ack; gives the message's id once it was pushed. */
async function pushed(alice: Peer, frame: Frame, ...to: Peer[]): Promise<unknown> {
  alice.wire.send(frame)
  const pushes = await Promise.all(to.map((peer) => peer.wire.next((push) => push['id'] === frame['id'])))
  return pushes[0]?.['messageId']
}

/** What the sender was told of a message, in its order. */
const told = (alice: Peer, messageId: unknown): string[] =>
  alice.wire.seen.flatMap((frame) => {
    if (frame.type === 'ack' && frame['messageId'] === messageId) return ['ack']
    const updates = frame.type === 'delivery' ? (frame['updates'] as Frame[]) : []
    return updates.filter((update) => update['messageId'] === messageId).map((update) => update['rung'] as string)
  })

const updateOf = (messageId: unknown) => (frame: Frame) =>
  frame.type === 'delivery' && (frame['updates'] as Frame[]).some((update) => update['messageId'] === messageId)

/** Resolves when the broker has read all that this peer sent. */
const read = (peer: Peer) => peer.wire.ask({ type: 'get_policy' })

test('a message that was surfaced before it was stored is stored as surfaced, and the sender hears so after the ack', async () => {
  await using w = await world(await postgresUrl(server.url))
  await using alice = await w.mesh.peer('Alice')
  await using bob = await w.mesh.peer('Bob')
  const release = await holdBack(w, alice, bob)
  const messageId = await pushed(alice, alice.sendFrame([bob.key], 'hello'), bob)
  bob.receive(messageId)
  bob.surface(messageId)
  bob.receive(messageId)
  await read(bob)
  await read(alice)
  expect(told(alice, messageId)).toEqual([])
  await release()
  await alice.wire.next(updateOf(messageId))
  expect(told(alice, messageId)).toEqual(['ack', 'surfaced'])
  expect(await w.stored(messageId, bob.key)).toEqual([{ rung: 'surfaced', reason: null, received: true, at_once: true }])
  await bob.drop()
  expect(await bob.connect()).toMatchObject({ queued: 1 })
  await atRest(w)
})

test('of several recipients each is stored as it stands: one cannot open it, one has it, one has said nothing', async () => {
  await using w = await world(await postgresUrl(server.url))
  await using alice = await w.mesh.peer('Alice')
  await using bob = await w.mesh.peer('Bob')
  await using carol = await w.mesh.peer('Carol')
  await using dora = await w.mesh.peer('Dora')
  const release = await holdBack(w, alice, bob)
  const messageId = await pushed(alice, alice.sendFrame([bob.key, carol.key, dora.key], 'hello', { targetSpec: '*' }), bob, carol, dora)
  bob.wire.send({ type: 'receipt', received: [], failed: [{ messageId, reason: 'cannot_open' }] })
  bob.surface(messageId)
  carol.receive(messageId)
  for (const peer of [bob, carol]) await read(peer)
  await release()
  await alice.wire.next(updateOf(messageId))
  expect(told(alice, messageId)).toEqual(['ack', 'failed', 'received'])
  const at_once = true
  expect(await w.stored(messageId, bob.key)).toEqual([{ rung: 'failed', reason: 'cannot_open', received: false, at_once }])
  expect(await w.stored(messageId, carol.key)).toEqual([{ rung: 'received', reason: null, received: true, at_once }])
  expect(await w.stored(messageId, dora.key)).toEqual([{ rung: 'stored', reason: null, received: false, at_once }])
  carol.surface(messageId)
  await alice.wire.next(updateOf(messageId))
  expect(await w.stored(messageId, carol.key)).toEqual([{ rung: 'surfaced', reason: null, received: true, at_once: false }])
  expect(await w.broker.consistencyCheck()).toEqual([])
})

test('a receipt that comes while its message is on its way into the store is written after it', async () => {
  await using w = await world(await postgresUrl(server.url))
  await using alice = await w.mesh.peer('Alice')
  await using bob = await w.mesh.peer('Bob')
  const release = await lock(w)
  const messageId = await pushed(alice, alice.sendFrame([bob.key], 'hello'), bob)
  bob.surface(messageId)
  await read(bob)
  await release()
  await alice.wire.next(updateOf(messageId))
  expect(told(alice, messageId)).toEqual(['ack', 'surfaced'])
  expect(await w.stored(messageId, bob.key)).toEqual([{ rung: 'surfaced', reason: null, received: true, at_once: false }])
})

test('nobody but its recipients can say anything of a message that waits', async () => {
  await using w = await world(await postgresUrl(server.url))
  await using alice = await w.mesh.peer('Alice')
  await using bob = await w.mesh.peer('Bob')
  await using mallory = await w.mesh.peer('Mallory')
  await using stranger = await (await new TestMesh(w.broker.url, w.broker.clock).create()).peer('Stranger')
  const release = await holdBack(w, alice, bob)
  const frame = alice.sendFrame([bob.key], 'hello')
  const messageId = await pushed(alice, frame, bob)
  for (const peer of [mallory, stranger, alice]) {
    peer.surface(messageId)
    await read(peer)
  }
  await release()
  await alice.wire.next((answer) => answer.type === 'ack' && answer['messageId'] === messageId)
  expect(await w.broker.consistencyCheck()).toEqual([])
  expect(told(alice, messageId)).toEqual(['ack'])
  expect(await w.stored(messageId, bob.key)).toEqual([{ rung: 'stored', reason: null, received: false, at_once: true }])
})

test('mail that its holder surfaced before it was stored is stored as surfaced', async () => {
  await using w = await world(await postgresUrl(server.url))
  const member = await w.mesh.enrolled('Carol')
  await using alice = await w.mesh.peer('Alice')
  await using bob = await w.mesh.peer('Bob')
  await using carol = await w.mesh.peer('Carol', { member, mail: true })
  const mail = (text: string) => alice.sendFrame([member.key.publicKey], text, { members: 1, shared: true })
  await alice.wire.ask(mail('so that the mailbox is known'))
  await carol.wire.next('push')
  const release = await holdBack(w, alice, bob)
  const messageId = await pushed(alice, mail('hello'), carol)
  carol.surface(messageId)
  await read(carol)
  await release()
  expect(await alice.wire.next(updateOf(messageId))).toMatchObject({ updates: [{ sessionPubkey: member.key.publicKey, mail: true, rung: 'surfaced' }] })
  expect(told(alice, messageId)).toEqual(['ack', 'surfaced'])
  expect(await w.stored(messageId, member.key.publicKey)).toEqual([{ rung: 'surfaced', reason: null, received: true, at_once: true }])
})

test('a message that could not be stored takes what was said of it along; sent again it comes and is surfaced as any other', async () => {
  await using w = await world(await postgresUrl(server.url))
  await using alice = await w.mesh.peer('Alice')
  await using bob = await w.mesh.peer('Bob')
  const release = await holdBack(w, alice, bob)
  const frame = alice.sendFrame([bob.key], 'hello')
  const messageId = await pushed(alice, frame, bob)
  bob.surface(messageId)
  await read(bob)
  await server.stop('immediate')
  expect(await alice.wire.next((answer) => answer['id'] === frame['id'])).toMatchObject({ type: 'error', code: 'storage_unavailable' })
  await release()
  await server.start()
  // The pool may still learn of connections that ended.
  let answer: Frame
  do answer = await alice.wire.ask(frame)
  while (answer.type === 'error')
  expect(answer).toMatchObject({ type: 'ack', messageId, queued: 1 })
  expect(told(alice, messageId)).toEqual(['ack'])
  expect(await w.stored(messageId, bob.key)).toMatchObject([{ rung: 'stored' }])
  await bob.wire.next((push) => push['messageId'] === messageId)
  bob.surface(messageId)
  await alice.wire.next(updateOf(messageId))
  expect(await w.stored(messageId, bob.key)).toMatchObject([{ rung: 'surfaced' }])
})

test('a repeat that nobody remembers is stored before: what is said meanwhile is said of the message of then', async () => {
  const url = await postgresUrl(server.url)
  const sent = await (async () => {
    await using w = await world(url)
    await using alice = await w.mesh.peer('Alice')
    await using bob = await w.mesh.peer('Bob')
    const frame = alice.sendFrame([bob.key], 'hello')
    const { messageId } = await alice.wire.ask(frame)
    return { mesh: w.mesh, alice, bob, frame, messageId }
  })()
  const { alice, bob, frame, messageId } = sent
  await using w = await world(url)
  for (const peer of [alice, bob]) {
    Object.assign(peer, { mesh: Object.assign(new TestMesh(w.broker.url, w.broker.clock), { id: sent.mesh.id }) })
    await peer.connect()
  }
  await bob.wire.next('push')
  const release = await holdBack(w, alice, bob)
  alice.wire.send(frame)
  await read(alice)
  bob.surface(messageId)
  await read(bob)
  await release()
  await alice.wire.next(updateOf(messageId))
  await alice.wire.next((answer) => answer.type === 'ack' && answer['id'] === frame['id'])
  expect(await w.stored(messageId, bob.key)).toEqual([{ rung: 'surfaced', reason: null, received: true, at_once: false }])
  expect(await w.broker.consistencyCheck()).toEqual([])
  for (const peer of [alice, bob]) await peer[Symbol.asyncDispose]()
})
