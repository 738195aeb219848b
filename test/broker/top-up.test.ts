import postgres from 'postgres'
import { defaultRates } from '@claudemesh/broker'
import { limits } from '@claudemesh/protocol'
import { expect, inject, test } from 'vitest'
import { postgresUrl } from '../harness/postgres.ts'
import { slowInserts } from './slow-inserts.ts'
import { b64u, testBroker, TestMesh, type Frame, type Peer } from './kit.ts'

const pushes = (peer: Peer, id: unknown) => peer.wire.seen.filter((frame) => frame.type === 'push' && frame['messageId'] === id)

/** Resolves when everything the broker did so far for this peer has arrived. */
const settled = (peer: Peer) => peer.wire.ask({ type: 'get_policy' })

async function four(options: Parameters<typeof testBroker>[1] = {}) {
  const store = await postgresUrl(inject('postgres'))
  const broker = await testBroker(store, options)
  const mesh = await new TestMesh(broker.url, broker.clock).create()
  const [alice, bob, carol, dave] = [await mesh.peer('Alice'), await mesh.peer('Bob'), await mesh.peer('Carol'), await mesh.peer('Dave')]
  const dispose = async () => {
    for (const peer of [alice, bob, carol, dave]) await peer[Symbol.asyncDispose]()
    await broker[Symbol.asyncDispose]()
  }
  return { store, broker, mesh, alice, bob, carol, dave, [Symbol.asyncDispose]: dispose }
}

const packed = (...peers: Peer[]) =>
  Buffer.concat(peers.map(({ session }) => session.publicKey).map((key) => Buffer.from(key, 'base64url'))).toString('base64url')
const more = (messageId: unknown, ...peers: Peer[]) => ({ type: 'send_more', messageId, to: packed(...peers), wraps: b64u(88 * peers.length) })

test('a recipient who was added and surfaces the message at once, while the store is busy with other messages, has surfaced it', async () => {
  await using t = await four()
  const { messageId } = await t.alice.send([t.bob.key], 'hello', { targetSpec: '*', shared: true })
  const inserts = await slowInserts(t.store)
  const added = t.alice.wire.ask(more(messageId, t.carol))
  t.bob.wire.send(t.bob.sendFrame([t.dave.key], 'meanwhile'))
  await inserts.waits()
  // A client says once that it showed a message.
  let shown = false
  const show = async () => {
    await settled(t.carol)
    if (shown || pushes(t.carol, messageId).length === 0) return
    t.carol.surface(messageId)
    await settled(t.carol)
    shown = true
  }
  await show()
  await inserts.release()
  expect(await added).toMatchObject({ type: 'ack', queued: 1 })
  await show()
  const status = await t.alice.wire.ask({ type: 'message_status', messageId })
  const rungs = (status['recipients'] as Frame[]).map((one) => [one['sessionPubkey'], one['rung']])
  expect(rungs).toEqual([
    [t.bob.key, 'stored'],
    [t.carol.key, 'surfaced'],
  ])
})

test('a recipient without room who is added has not got the message, and the sender hears of it; once there is room it may be added again', async () => {
  await using t = await four()
  await t.carol.drop()
  const fillers = Array.from({ length: limits.queuedPerSession }, () => t.bob.sendFrame([t.carol.key], 'x'))
  for (const frame of fillers) t.bob.wire.send(frame)
  for (const frame of fillers) await t.bob.wire.next((answer) => answer['id'] === frame['id'])
  const { messageId } = await t.alice.send([t.bob.key], 'hello', { targetSpec: '*', shared: true })
  expect(await t.alice.wire.ask(more(messageId, t.carol, t.dave))).toMatchObject({ queued: 1, gone: [] })
  expect(await t.alice.wire.next('delivery')).toMatchObject({
    updates: [{ messageId, sessionPubkey: t.carol.key, rung: 'failed', reason: 'queue_full' }],
  })
  expect(await t.dave.wire.next('push')).toMatchObject({ messageId })
  const states = async () => {
    const status = await t.alice.wire.ask({ type: 'message_status', messageId })
    return (status['recipients'] as Frame[]).map((one) => [one['sessionPubkey'], one['rung'], one['reason']])
  }
  const others = [
    [t.bob.key, 'stored', undefined],
    [t.dave.key, 'stored', undefined],
  ]
  expect(await states()).toEqual([...others, [t.carol.key, 'failed', 'queue_full']])
  expect(await t.alice.wire.ask(more(messageId, t.carol, t.dave))).toMatchObject({ queued: 1 })
  await t.carol.connect()
  t.carol.surface((await t.carol.wire.next('push'))['messageId'])
  await t.bob.wire.next('delivery')
  expect(await t.alice.wire.ask(more(messageId, t.carol, t.dave))).toMatchObject({ queued: 2 })
  expect(await t.carol.wire.next((push) => push['messageId'] === messageId)).toMatchObject({ type: 'push' })
  expect(await states()).toEqual(expect.arrayContaining([...others, [t.carol.key, 'stored', undefined]]))
  expect(await t.broker.consistencyCheck()).toEqual([])
})

test('recipients who are added count as those of a message do, and nothing is done where they are too many', async () => {
  const tight = { ...defaultRates, session: { ...defaultRates.session, recipients: { perSecond: 1, burst: 2 } } }
  await using t = await four({ rates: tight })
  const { messageId } = await t.alice.send([t.bob.key], 'hello', { targetSpec: '*', shared: true })
  expect(await t.alice.wire.ask(more(messageId, t.carol, t.dave))).toMatchObject({ code: 'rate_limited', retryAfter: 1000 })
  await settled(t.dave)
  expect([...pushes(t.carol, messageId), ...pushes(t.dave, messageId)]).toEqual([])
  t.broker.clock.advance(1000)
  expect(await t.alice.wire.ask(more(messageId, t.carol, t.dave))).toMatchObject({ type: 'ack', queued: 2 })
  // Those who have it already cost nothing.
  expect(await t.alice.wire.ask(more(messageId, t.carol, t.dave))).toMatchObject({ type: 'ack', queued: 2 })
})

test('recipients whose deliveries the store does not take hold no place in their queues, and are pushed nothing', async () => {
  await using t = await four()
  const { messageId } = await t.alice.send([t.bob.key], 'hello', { targetSpec: '*', shared: true })
  const sql = postgres(t.store, { max: 1, onnotice: () => {} })
  await sql`alter table mesh.delivery add constraint full_for_now check (recipient_pubkey <> ${sql.unsafe(`'${t.carol.key}'`)}) not valid`
  expect(await t.alice.wire.ask(more(messageId, t.carol, t.dave))).toMatchObject({ code: 'internal' })
  await settled(t.carol)
  expect(pushes(t.carol, messageId)).toEqual([])
  expect(await t.broker.consistencyCheck()).toEqual([])
  await sql`alter table mesh.delivery drop constraint full_for_now`
  await sql.end()
  expect(await t.alice.wire.ask(more(messageId, t.carol, t.dave))).toMatchObject({ type: 'ack', queued: 2 })
  for (const peer of [t.carol, t.dave]) expect(await peer.wire.next('push')).toMatchObject({ messageId })
})
