import { createBroker } from '@claudemesh/broker'
import { openStore } from '@claudemesh/drivers'
import { limits } from '@claudemesh/protocol'
import { expect, test } from 'vitest'
import { TestClock } from '../harness/clock.ts'
import { Peer, TestMesh, type Frame } from './kit.ts'
import { onEveryStore } from './world.ts'

const rung = async (peer: Peer, messageId: unknown) => ((await peer.wire.ask({ type: 'message_status', messageId }))['recipients'] as Frame[])[0]

/** A member nobody has met yet. */
async function carolOf(mesh: TestMesh) {
  const member = await mesh.enrolled('Carol')
  const key = member.key.publicKey
  const mailFrame = (from: Peer, text: string) => from.sendFrame([key], text, { members: 1, shared: true })
  const session = (name: string) => mesh.peer(name, { member, mail: true })
  return { member, key, mailFrame, session }
}

onEveryStore((world) => {
  test('mail waits for the member’s next session, marked as mail, with what proves its sender', async () => {
    const mesh = await world().mesh()
    const carol = await carolOf(mesh)
    await using alice = await mesh.peer('Alice')
    const ack = await alice.wire.ask(carol.mailFrame(alice, 'hello'))
    expect(ack).toMatchObject({ type: 'ack', queued: 1, gone: [], missing: [] })
    await using blind = await mesh.peer('Blind', { member: carol.member })
    await using shows = await carol.session('Shows')
    const push = await shows.wire.next('push')
    expect(push).toMatchObject({ messageId: ack['messageId'], mail: true, wrap: expect.any(String), chain: alice.chain, senderPubkey: alice.key })
    expect(await rung(alice, ack['messageId'])).toMatchObject({ sessionPubkey: carol.key, mail: true, rung: 'stored', connected: true })
    shows.receive(push['messageId'])
    expect(await alice.wire.next('delivery')).toMatchObject({ updates: [{ sessionPubkey: carol.key, mail: true, rung: 'received' }] })
    shows.surface(push['messageId'])
    expect(await alice.wire.next('delivery')).toMatchObject({ updates: [{ rung: 'surfaced' }] })
    await blind.wire.ask({ type: 'get_policy' })
    expect(blind.wire.seen.filter((frame) => frame.type === 'push')).toEqual([])
  })

  test('it is held by one session, released at its end, and then pushed to the next', async () => {
    const mesh = await world().mesh()
    const carol = await carolOf(mesh)
    await using alice = await mesh.peer('Alice')
    await using one = await carol.session('One')
    await using two = await carol.session('Two')
    const { messageId } = await alice.wire.ask(carol.mailFrame(alice, 'hello'))
    expect(await two.wire.next('push')).toMatchObject({ messageId, mail: true })
    // Another session cannot settle what it does not hold.
    one.surface(messageId)
    await one.wire.ask({ type: 'get_policy' })
    expect(await rung(alice, messageId)).toMatchObject({ rung: 'stored' })
    two.wire.send({ type: 'bye' })
    expect(await one.wire.next('push')).toMatchObject({ messageId, mail: true })
    one.wire.send({ type: 'receipt', received: [], failed: [{ messageId, reason: 'cannot_open' }] })
    expect(await alice.wire.next('delivery')).toMatchObject({ updates: [{ rung: 'failed', reason: 'cannot_open' }] })
  })

  test('a repeated send is answered as the first and stored once', async () => {
    const mesh = await world().mesh()
    const carol = await carolOf(mesh)
    await using alice = await mesh.peer('Alice')
    const frame = carol.mailFrame(alice, 'hello')
    const first = await alice.wire.ask(frame)
    expect(await alice.wire.ask(frame)).toMatchObject({ messageId: first['messageId'], queued: 1 })
    await using shows = await carol.session('Shows')
    await shows.wire.next('push')
    await shows.wire.ask({ type: 'get_policy' })
    expect(shows.wire.seen.filter((one) => one.type === 'push')).toHaveLength(1)
  })

  test('refused: no such member, mail without wraps, more members than recipients, volatile mail', async () => {
    const mesh = await world().mesh()
    const carol = await carolOf(mesh)
    await using alice = await mesh.peer('Alice')
    const stranger = (await (await world().mesh()).enrolled('Carol')).key.publicKey
    expect(await alice.wire.ask(alice.sendFrame([stranger], 'x', { members: 1, shared: true }))).toMatchObject({ queued: 0, gone: [stranger] })
    expect(await alice.wire.ask(alice.sendFrame([carol.key], 'x', { members: 1 }))).toMatchObject({ type: 'error', code: 'bad_recipients' })
    expect(await alice.wire.ask({ ...carol.mailFrame(alice, 'x'), members: 2 })).toMatchObject({ type: 'error', code: 'bad_recipients' })
    expect(await alice.wire.ask({ ...carol.mailFrame(alice, 'x'), volatile: true })).toMatchObject({ type: 'error', code: 'not_durable' })
    // A member key that is not said to be one names no session.
    expect(await alice.wire.ask(alice.sendFrame([carol.key], 'x', { shared: true }))).toMatchObject({ queued: 0, gone: [carol.key] })
  })

  test('a mailbox is bounded as a queue is', async () => {
    const mesh = await world().mesh()
    const carol = await carolOf(mesh)
    await using alice = await mesh.peer('Alice')
    const frames = Array.from({ length: limits.queuedPerSession }, () => carol.mailFrame(alice, 'x'))
    const answers = await Promise.all(frames.map((frame) => alice.wire.ask(frame)))
    expect(answers.every((answer) => answer.type === 'ack')).toBe(true)
    expect(await alice.wire.ask(carol.mailFrame(alice, 'x'))).toMatchObject({ type: 'error', code: 'queue_full' })
    const [full, other] = [carol.key, (await mesh.enrolled('Dave')).key.publicKey]
    const { messageId } = await alice.send([full, other], 'x', { members: 2, shared: true })
    expect((await alice.wire.ask({ type: 'message_status', messageId }))['recipients']).toMatchObject([
      { sessionPubkey: other, mail: true, rung: 'stored' },
      { sessionPubkey: full, mail: true, rung: 'failed', reason: 'queue_full' },
    ])
    await using shows = await carol.session('Shows')
    shows.surface((await shows.wire.next('push'))['messageId'])
    await alice.wire.next((frame) => JSON.stringify(frame).includes('"rung":"surfaced"'))
    expect(await alice.wire.ask(carol.mailFrame(alice, 'x'))).toMatchObject({ type: 'ack', queued: 1 })
  })

  test('an envelope of another session of the member is forwarded as that session’s; one of another member is refused', async () => {
    const mesh = await world().mesh()
    const anna = await mesh.enrolled('Anna')
    await using bob = await mesh.peer('Bob')
    await using heir = await mesh.peer('Heir', { member: anna })
    await using other = await mesh.peer('Other')
    // Sealed by a session that never connected.
    const dead = new Peer(mesh, { name: 'Dead', member: anna })
    const frame = dead.sendFrame([bob.key], 'from beyond')
    const forward = { sessionPubkey: dead.key, chain: dead.chain, presence: dead.presence() }
    expect(await other.wire.ask({ ...frame, forward })).toMatchObject({ type: 'error', code: 'bad_chain', message: /same member/ })
    expect(await heir.wire.ask({ ...frame, forward: { ...forward, sessionPubkey: heir.key } })).toMatchObject({ code: 'bad_chain', message: /another session/ })
    expect(await heir.wire.ask({ ...frame, forward: { ...forward, presence: bob.presence() } })).toMatchObject({ code: 'bad_presence' })
    const ack = await heir.wire.ask({ ...frame, forward })
    expect(ack).toMatchObject({ type: 'ack', queued: 1 })
    expect(await bob.wire.next('push')).toMatchObject({ messageId: ack['messageId'], senderPubkey: dead.key, chain: dead.chain, presence: forward.presence })
    // Any session of the member may ask what became of it.
    expect(await rung(heir, ack['messageId'])).toMatchObject({ sessionPubkey: bob.key, rung: 'stored' })
    expect(await heir.wire.ask({ ...frame, forward })).toMatchObject({ messageId: ack['messageId'], queued: 1 })
  })

  test('a certificate that ended over a day ago forwards nothing, nor does a revoked member’s', async () => {
    const mesh = await world().mesh()
    const anna = await mesh.enrolled('Anna')
    await using bob = await mesh.peer('Bob')
    await using heir = await mesh.peer('Heir', { member: anna })
    const expired = new Peer(mesh, { name: 'Dead', member: anna, life: -25 * 3_600_000 })
    const forward = (peer: Peer) => ({ sessionPubkey: peer.key, chain: peer.chain, presence: peer.presence() })
    expect(await heir.wire.ask({ ...expired.sendFrame([bob.key], 'x'), forward: forward(expired) })).toMatchObject({ code: 'bad_chain' })
    const dead = new Peer(mesh, { name: 'Dead', member: anna })
    const revoked = mesh.makePolicy(2, { members: [], invites: [], sessions: [dead.key] })
    expect(await bob.wire.ask({ type: 'set_policy', policy: revoked })).toMatchObject({ type: 'ok' })
    expect(await heir.wire.ask({ ...dead.sendFrame([bob.key], 'x'), forward: forward(dead) })).toMatchObject({ code: 'revoked' })
  })

  test('what a session said last counts, though it closed while the broker was busy with its request', async () => {
    const mesh = await world().mesh()
    await using alice = await mesh.peer('Alice')
    await using bob = await mesh.peer('Bob')
    const { messageId } = await alice.send([bob.key], 'hello')
    await bob.wire.next('push')
    bob.wire.send({ type: 'list_members', id: 'a' })
    bob.surface(messageId)
    bob.wire.send({ type: 'bye' })
    bob.wire.ws.close()
    expect(await alice.wire.next('peer_gone')).toMatchObject({ sessionPubkey: bob.key, reason: 'left' })
    expect(await rung(alice, messageId)).toMatchObject({ rung: 'surfaced' })
  })
})

test('a broker that was restarted takes mail from a session that never came back to one that did', async () => {
  const store = await openStore('pglite:')
  const clock = new TestClock()
  const before = await createBroker({ store, clock })
  const mesh = await new TestMesh(before.url, clock).create()
  const carol = await carolOf(mesh)
  const alice = await mesh.peer('Alice')
  const lost = await carol.session('Lost')
  const { messageId } = await alice.wire.ask(carol.mailFrame(alice, 'hello'))
  await lost.wire.next('push')
  await before[Symbol.asyncDispose]()
  await using stack = new AsyncDisposableStack()
  stack.use(store)
  const after = stack.use(await createBroker({ store, clock }))
  const seen = Object.assign(new TestMesh(after.url, clock), { root: mesh.root, admin: mesh.admin, id: mesh.id, adminCert: mesh.adminCert })
  const other = stack.use(await seen.peer('Other', { member: carol.member, mail: true }))
  await other.wire.ask({ type: 'get_policy' })
  expect(other.wire.seen.filter((frame) => frame.type === 'push')).toEqual([])
  clock.advance(91_000)
  expect(await other.wire.next('push')).toMatchObject({ messageId, mail: true })
})
