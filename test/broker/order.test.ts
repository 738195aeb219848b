import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { defaultRates } from '@claudemesh/broker'
import { openStore } from '@claudemesh/drivers'
import { Line } from '../harness/line.ts'
import { noRoomFor } from '../harness/no-room.ts'
import { postgresUrl, startPostgres, type PostgresServer } from '../harness/postgres.ts'
import { testBroker, TestMesh, type Frame, type Peer } from './kit.ts'

const kibi = 1024

/** A broker that takes eight KiB at once from a session, and four more each second; Alice is to send, Bob to read. */
async function scene(stack: AsyncDisposableStack) {
  const rates = { ...defaultRates, session: { ...defaultRates.session, bytes: { perSecond: 4 * kibi, burst: 8 * kibi } } }
  const broker = stack.use(await testBroker('pglite:', { rates }))
  const mesh = await new TestMesh(broker.url, broker.clock).create()
  const [alice, bob] = [stack.use(await mesh.peer('Alice', { inOrder: true })), stack.use(await mesh.peer('Bob'))]
  const large = (options: Parameters<Peer['sendFrame']>[2] = {}) => alice.sendFrame([bob.key], 'x'.repeat(4 * kibi), options)
  const small = (options: Parameters<Peer['sendFrame']>[2] = {}) => alice.sendFrame([bob.key], 'x', options)
  const ask = (frame: Frame) => alice.wire.ask(frame)
  /** A large one that was put off, for want of characters alone. */
  const putOff = async () => {
    const frame = large()
    let answer = await ask(large())
    while (answer.type === 'ack') answer = await ask(frame)
    expect(answer).toMatchObject({ code: 'rate_limited', message: expect.stringContaining('too many bytes from this session'), retryAfter: expect.any(Number) })
    return { frame, retryAfter: answer['retryAfter'] as number }
  }
  return { broker, mesh, alice, bob, large, small, ask, putOff }
}

const ack = { type: 'ack' }
const behind = { type: 'error', code: 'rate_limited', message: 'an earlier message of this session was put off, and is to go first' }

test('behind a message that was put off, none of its connection passes until it comes again, and then they come in order', async () => {
  await using stack = new AsyncDisposableStack()
  const { broker, bob, small, ask, putOff } = await scene(stack)
  const { frame, retryAfter } = await putOff()
  const later = [small(), small({ priority: 'now' })]
  for (const one of later) expect(await ask(one)).toMatchObject({ ...behind, retryAfter })
  broker.clock.advance(retryAfter + 300)
  for (const one of [frame, ...later]) expect(await ask(one)).toMatchObject(ack)
  for (const one of later) await bob.wire.next(({ id }) => id === one['id'])
  const pushed = bob.wire.seen.flatMap(({ type, id }) => (type === 'push' ? [id] : []))
  expect(pushed.slice(-3)).toEqual([frame, ...later].map(({ id }) => id))
})

test('who does not ask for it at the hello is refused for what it sends, and for nothing else', async () => {
  await using stack = new AsyncDisposableStack()
  const { mesh, bob } = await scene(stack)
  const carol = stack.use(await mesh.peer('Carol'))
  const send = (text: string) => carol.send([bob.key], text)
  while ((await send('x'.repeat(4 * kibi))).type === 'ack');
  expect(await send('x')).toMatchObject(ack)
})

test('one that is put off again keeps its place', async () => {
  await using stack = new AsyncDisposableStack()
  const { small, ask, putOff } = await scene(stack)
  const { frame } = await putOff()
  for (let i = 0; i < 2; i++) {
    expect(await ask(small())).toMatchObject(behind)
    expect(await ask(frame)).toMatchObject({ code: 'rate_limited', message: expect.stringContaining('too many bytes') })
  }
})

test('one that never comes again is forgotten after two seconds, and what waited for it is told no later', async () => {
  await using stack = new AsyncDisposableStack()
  const { broker, small, ask, putOff } = await scene(stack)
  await putOff()
  broker.clock.advance(1990)
  expect(await ask(small())).toMatchObject({ ...behind, retryAfter: 10 })
  broker.clock.advance(10)
  expect(await ask(small())).toMatchObject(ack)
})

test('a clock that is set back forgets it too', async () => {
  await using stack = new AsyncDisposableStack()
  const { broker, small, ask, putOff } = await scene(stack)
  await putOff()
  broker.clock.advance(-60_000)
  expect(await ask(small())).toMatchObject(ack)
})

test('volatile messages neither wait nor keep a place, and other connections have places of their own', async () => {
  await using stack = new AsyncDisposableStack()
  const { mesh, bob, alice, large, small, ask, putOff } = await scene(stack)
  const twin = stack.use(await mesh.peer('Twin', { inOrder: true }))
  const { frame } = await putOff()
  expect(await ask(small({ volatile: true }))).toMatchObject({ type: 'ack', volatile: true })
  expect(await ask(large({ volatile: true }))).toMatchObject({ message: expect.stringContaining('too many bytes') })
  expect(await twin.send([bob.key], 'x')).toMatchObject(ack)
  expect(await ask(small())).toMatchObject(behind)
  await alice[Symbol.asyncDispose]()
  await alice.connect()
  expect(await ask(small())).toMatchObject(ack)
  expect(await ask(large({ volatile: true }))).toMatchObject({ message: expect.stringContaining('too many bytes') })
  expect(await ask(small())).toMatchObject(ack)
  expect(await ask(frame)).toMatchObject({ message: expect.stringContaining('too many bytes') })
})

test('frames in another form than our client’s, to several, to groups and for members wait as well', async () => {
  await using stack = new AsyncDisposableStack()
  const { mesh, alice, bob, small, ask, putOff } = await scene(stack)
  const carol = await mesh.enrolled('Carol')
  await putOff()
  const { type, ...rest } = small()
  const waiting = [
    { ...rest, type },
    alice.sendFrame([bob.key], 'x', { shared: true, targetSpec: '*' }),
    alice.sendFrame([bob.key, carol.key.publicKey], 'x', { members: 1, targetSpec: [bob.key, carol.key.publicKey] }),
  ]
  for (const frame of waiting) expect(await ask(frame)).toMatchObject(behind)
})

test('what is to wait longer than a client would keeps no place', async () => {
  await using stack = new AsyncDisposableStack()
  const { large, small, ask, alice, bob } = await scene(stack)
  await ask(large())
  const answer = await ask(alice.sendFrame([bob.key], 'x'.repeat(30 * kibi)))
  expect(answer).toMatchObject({ code: 'rate_limited', message: expect.stringContaining('too many bytes') })
  const waits = (answer['retryAfter'] as number) <= 5000
  expect(await ask(small())).toMatchObject(waits ? behind : ack)
})

describe('a store that fails one batch and takes the next', () => {
  let server: PostgresServer
  beforeAll(async () => void (server = await startPostgres()))
  afterAll(() => server[Symbol.asyncDispose]())

  test('stores none of a sender behind one that it failed, and all in order when they come again', async () => {
    const url = new URL(await postgresUrl(server.url))
    const real = url.href
    await using line = await Line.to(Number(url.port))
    url.port = String(line.port)
    await using broker = await testBroker(url.href)
    const mesh = await new TestMesh(broker.url, broker.clock).create()
    await using alice = await mesh.peer('Alice', { inOrder: true })
    await using carol = await mesh.peer('Carol')
    await using bob = await mesh.peer('Bob')
    await using store = await openStore(real)
    const frames = ['one', 'two', 'three', 'four'].map((text) => alice.sendFrame([bob.key], text))
    const [one, two, three] = frames as [Frame, Frame, Frame, Frame]
    const makeRoom = await noRoomFor(store, `new.client_id = '${String(one['id'])}'`)
    while ((await broker.consistencyCheck()).length > 0);
    line.stall()
    alice.wire.send(one)
    await alice.wire.ask({ type: 'get_policy' })
    // The first batch is with the store; these wait for the next one.
    alice.wire.send(two)
    await alice.wire.ask({ type: 'get_policy' })
    const beside = carol.sendFrame([bob.key], 'from another')
    carol.wire.send(beside)
    await carol.wire.ask({ type: 'get_policy' })
    line.release()
    for (const { id } of [one, two]) expect(await alice.wire.next((answer) => answer['id'] === id)).toMatchObject({ code: 'storage_full' })
    expect(await carol.wire.next((answer) => answer['id'] === beside['id'])).toMatchObject(ack)
    // What was on its way meanwhile.
    expect(await alice.wire.ask(three)).toMatchObject({ code: 'storage_full', message: behind.message })
    await makeRoom()
    for (const frame of frames) expect(await alice.wire.ask(frame)).toMatchObject(ack)
    // The queue as it was stored.
    await bob.drop()
    expect(await bob.connect()).toMatchObject({ queued: 5 })
    for (const { id } of [beside, ...frames]) expect(await bob.wire.next('push')).toMatchObject({ id })
  })
})
