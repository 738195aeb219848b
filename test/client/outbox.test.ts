import { defaultRates, type BrokerOptions } from '@claudemesh/broker'
import { Mesh, type Dial } from '@claudemesh/client'
import { openStore } from '@claudemesh/drivers'
import { expect, test } from 'vitest'
import { change, next, seen } from '../harness/events.ts'
import { EvilBroker, type Frame } from '../harness/evil.ts'
import { Line } from '../harness/line.ts'
import { newSession, testMesh, type PeerOptions, type TestMesh, type TestPeer } from '../harness/mesh.ts'
import { newDesk } from '../harness/ports.ts'
import { noRoomFor } from '../harness/no-room.ts'
import { postgresUrl, startPostgres } from '../harness/postgres.ts'

/** Alice with an outbox on her desk, Bob who listens, and everything that the broker was sent. */
async function scene(stack: AsyncDisposableStack, options: Pick<Partial<BrokerOptions>, 'store' | 'rates'> = {}) {
  const wire: string[] = []
  const mesh = stack.use(await testMesh({ ...options, tap: ({ ciphertext }) => wire.push(ciphertext) }))
  const identity = await mesh.member('Alice')
  const desk = newDesk()
  const session = (name: string, o: PeerOptions = {}) => mesh.peer(name, { identity, ...o, options: { ...desk, ...o.options } })
  const alice = await session('Alice', { session: newSession() })
  const bob = await mesh.peer('Bob')
  return { mesh, identity, desk, session, alice, bob, wire }
}

/** The broker is gone for this peer. */
async function leaves(peer: TestPeer): Promise<void> {
  peer.line.refuse()
  peer.line.cut()
  while (peer.connection.phase === 'ready') await change(peer, 'connection')
}

/** And is back. */
async function returns(mesh: TestMesh, peer: TestPeer): Promise<void> {
  peer.line.refuse(false)
  while (peer.connection.phase !== 'ready') {
    mesh.clock.advance(5000)
    await change(peer, 'connection')
  }
}

/** A way to a broker that can be away. */
function switched(dial: Dial): { away: boolean; dial: Dial } {
  const nowhere: Dial = (_url, events) => {
    queueMicrotask(() => events.close(1006))
    return { send: () => {}, close: () => {} }
  }
  const way = { away: false, dial: (...to: Parameters<Dial>) => (way.away ? nowhere : dial)(...to) }
  return way
}

/** What a send answers when the broker stays away. */
async function kept(mesh: TestMesh, sending: Promise<{ outbox?: true; id: string }>) {
  mesh.clock.advance(2000)
  return sending
}

async function texts(peer: TestPeer, n: number): Promise<string[]> {
  while (peer.inbox.size < n) await change(peer, 'message')
  return peer.inbox.drain().map(({ text }) => text)
}

test('what is sent while the broker is away waits on disk, sealed, and goes out in order when it is back, once', async () => {
  await using stack = new AsyncDisposableStack()
  const { mesh, desk, alice, bob, wire } = await scene(stack)
  await leaves(alice)
  const one = await kept(mesh, alice.send({ to: 'Bob', message: 'the first secret' }))
  const more = ['two', 'three'].map((message) => alice.send({ to: 'Bob', message }))
  await kept(
    mesh,
    Promise.all(more).then(([last]) => last!),
  )
  expect(one).toMatchObject({ outbox: true, queued: 0, recipients: [{ name: 'Bob' }] })
  expect(await alice.status(one.id as never)).toMatchObject({ delivered: false, outbox: { keptAt: expect.any(Number) }, recipients: [] })
  expect(desk.outbox.list()).toHaveLength(3)
  expect(JSON.stringify(desk.outbox.list())).not.toContain('secret')
  expect(wire).toEqual([])

  await returns(mesh, alice)
  const four = alice.send({ to: 'Bob', message: 'four' })
  expect(await texts(bob, 4)).toEqual(['the first secret', 'two', 'three', 'four'])
  expect(await four).not.toHaveProperty('outbox')
  expect(wire).toHaveLength(4)
  expect(desk.outbox.list()).toEqual([])
  expect(seen(alice, 'outbox')).toMatchObject([{ id: one.id, to: ['Bob'], stored: 1 }, { stored: 1 }, { stored: 1 }])
  expect(await alice.status(one.id as never)).toMatchObject({ outbox: { sentAt: expect.any(Number) }, recipients: [{ name: 'Bob' }] })
})

test('a short absence needs no outbox', async () => {
  await using stack = new AsyncDisposableStack()
  const { mesh, desk, alice, bob } = await scene(stack)
  alice.line.cut()
  while (alice.connection.phase !== 'waiting') await change(alice, 'connection')
  const sending = alice.send({ to: 'Bob', message: 'soon' })
  mesh.clock.advance(1500)
  expect(await sending).not.toHaveProperty('outbox')
  expect(await texts(bob, 1)).toEqual(['soon'])
  expect(desk.outbox.list()).toEqual([])
})

test('a message whose answer was lost goes to disk with the same bytes: the broker knows it, the reader sees it once', async () => {
  await using stack = new AsyncDisposableStack()
  const { mesh, alice, bob, wire } = await scene(stack)
  alice.line.hold()
  const sending = alice.send({ to: 'Bob', message: 'did it arrive?' })
  expect(await texts(bob, 1)).toEqual(['did it arrive?'])
  await leaves(alice)
  expect(await kept(mesh, sending)).toMatchObject({ outbox: true })
  await returns(mesh, alice)
  expect(await next(alice, 'outbox')).toMatchObject({ stored: 1 })
  await mesh.settle()
  expect(bob.inbox.size).toBe(0)
  expect(wire).toHaveLength(2)
  expect(wire[0]).toBe(wire[1])
})

test('a broker whose storage is away gets the same bytes once it is back: the sender is not told of a loss, and the reader sees it once', async () => {
  await using server = await startPostgres()
  await using stack = new AsyncDisposableStack()
  const store = stack.use(await openStore(await postgresUrl(server.url)))
  const { mesh, alice, bob, wire } = await scene(stack, { store })
  await alice.send({ to: 'Bob', message: 'before' })
  expect(await texts(bob, 1)).toEqual(['before'])
  await server.stop('fast')
  const { id, outbox } = await alice.send({ to: 'Bob', message: 'into the void' })
  expect(outbox).toBe(true)
  expect(await texts(bob, 1)).toEqual(['into the void'])
  const second = await kept(mesh, alice.send({ to: 'Bob', message: 'behind it' }))
  expect(second).toMatchObject({ outbox: true })
  await server.start()
  while (seen(alice, 'outbox').length < 2) {
    // Not faster than the store comes back.
    await mesh.broker.consistencyCheck().catch(() => {})
    await mesh.advance(10_000)
  }
  expect(seen(alice, 'outbox')).toEqual([
    { id, to: ['Bob'], stored: 1 },
    { id: second.id, to: ['Bob'], stored: 1 },
  ])
  expect(await texts(bob, 1)).toEqual(['behind it'])
  expect(new Set(wire).size).toBe(3)
})

test('when a store fails, what is under way and what was put off goes to disk together, and is stored in the order of sending', async () => {
  await using server = await startPostgres()
  await using stack = new AsyncDisposableStack()
  const url = new URL(await postgresUrl(server.url))
  const direct = stack.use(await openStore(url.href))
  const line = stack.use(await Line.to(Number(url.port)))
  url.port = String(line.port)
  const store = stack.use(await openStore(url.href))
  const rates = { ...defaultRates, session: { ...defaultRates.session, bytes: { perSecond: 4096, burst: 8192 } } }
  const { mesh, desk, alice, bob } = await scene(stack, { store, rates })
  while ((await mesh.broker.consistencyCheck()).length > 0);
  await leaves(bob)
  const makeRoom = await noRoomFor(direct, 'true')
  line.stall()
  const sends = ['one', 'two', `large ${'x'.repeat(6000)}`, 'last'].map((message) => alice.send({ to: 'Bob', message }))
  await alice.calls.session.getPolicy({})
  line.release()
  const results = await Promise.all(sends)
  expect(results.map(({ outbox }) => outbox)).toEqual([true, true, true, true])
  await makeRoom()
  while (desk.outbox.list().length > 0) {
    // Not faster than the store.
    await mesh.broker.consistencyCheck()
    await mesh.advance(1000)
  }
  bob.line.refuse(false)
  while (bob.connection.phase !== 'ready') await mesh.advance(5000)
  expect((await texts(bob, 4)).map((text) => text.slice(0, 5))).toEqual(['one', 'two', 'large', 'last'])
})

test('another session of the member forwards what a dead one left: verified as the dead one’s, once', async () => {
  await using stack = new AsyncDisposableStack()
  const { mesh, session, alice, bob, wire } = await scene(stack)
  await leaves(alice)
  const { id } = await kept(mesh, alice.send({ to: 'Bob', message: 'from beyond' }))
  await kept(mesh, alice.send({ to: 'Bob', message: 'and again' }))
  await alice.close()
  const heir = await session('Heir')
  expect(await texts(bob, 2)).toEqual(['from beyond', 'and again'])
  await heir.flushed()
  expect(wire).toHaveLength(2)
  expect(await heir.status(id as never)).toMatchObject({ outbox: { sentAt: expect.any(Number) }, recipients: [{ name: 'Bob', rung: 'received' }] })
})

test('a session that has its broker all the while brings what another one leaves, without a reconnect', async () => {
  await using stack = new AsyncDisposableStack()
  const { mesh, desk, session, alice, bob } = await scene(stack)
  const other = await session('Other')
  await leaves(alice)
  await kept(mesh, alice.send({ to: 'Bob', message: 'left behind' }))
  await alice.close()
  await mesh.advance(60_000)
  await other.flushed()
  expect(desk.outbox.list()).toEqual([])
  expect(await texts(bob, 1)).toEqual(['left behind'])
  expect(seen(other, 'connection')).toEqual([])
})

test('a reader whose queue is full costs the sender that message, and nobody else theirs', async () => {
  await using stack = new AsyncDisposableStack()
  const { mesh, session, alice } = await scene(stack)
  await alice.close()
  const evil = stack.use(await EvilBroker.before(mesh.url))
  const carol = await mesh.peer('Carol')
  const way = switched(evil.dial)
  const ann = await session('Ann', way)
  way.away = true
  evil.hangUp(4999)
  while (ann.connection.phase === 'ready') await change(ann, 'connection')
  const full = await kept(mesh, ann.send({ to: 'Bob', message: 'does not fit' }))
  const behind = await kept(mesh, ann.send({ to: 'Carol', message: 'fits' }))
  const refusal = { type: 'error', code: 'queue_full', message: 'full' }
  evil.tamper = (frame) => [frame.type === 'ack' && frame['messageId'] === full.id ? { ...refusal, id: frame['id'] } : frame]
  way.away = false
  while (seen(ann, 'outbox').length < 2) await mesh.advance(5000)
  expect(seen(ann, 'outbox')).toEqual([
    { id: full.id, to: ['Bob'], failed: 'queue_full' },
    { id: behind.id, to: ['Carol'], stored: 1 },
  ])
  expect(await texts(carol, 1)).toEqual(['fits'])
})

test('a message that expires while nothing can be written is given up once it can be', async () => {
  await using stack = new AsyncDisposableStack()
  const { mesh, desk, session, alice } = await scene(stack)
  await alice.close()
  const tries: number[] = []
  let full = true
  const settle = (...outcome: Parameters<typeof desk.outbox.settle>) => {
    tries.push(mesh.clock.now())
    if (full) throw Object.assign(new Error('no space left on device'), { code: 'ENOSPC' })
    desk.outbox.settle(...outcome)
  }
  const ann = await session('Ann', { options: { outbox: { ...desk.outbox, settle } } })
  await leaves(ann)
  const { id } = await kept(mesh, ann.send({ to: 'Bob', message: 'too late' }))
  mesh.clock.advance(24 * 3_600_000 + 15_000)
  expect(tries).toHaveLength(2)
  full = false
  mesh.clock.advance(10_000)
  expect(tries).toHaveLength(3)
  expect(await next(ann, 'outbox')).toMatchObject({ id, failed: 'expired' })
})

test.for(['at once', 'from the outbox'])(
  'a broker that tells nonsense of who came meanwhile takes nothing back: what goes out %s counts as stored',
  async (how) => {
    await using stack = new AsyncDisposableStack()
    const { mesh, session, alice, bob, wire } = await scene(stack)
    await alice.close()
    const evil = stack.use(await EvilBroker.before(mesh.url))
    await bob.joinGroup('team')
    const way = switched(evil.dial)
    const ann = await session('Ann', way)
    await mesh.settle()
    const known = evil.told.flatMap((frame) => (frame.type === 'peers_list' ? (frame['peers'] as Frame[]) : []))[0]
    const stranger = { ...known, sessionPubkey: 'A'.repeat(43), chain: [7, 8] }
    evil.tamper = (frame) => [frame.type === 'ack' ? { ...frame, missing: [stranger] } : frame]
    if (how === 'at once') {
      expect(await ann.send({ to: '@team', message: 'stored' })).toMatchObject({ queued: 1 })
    } else {
      way.away = true
      evil.hangUp(4999)
      while (ann.connection.phase === 'ready') await change(ann, 'connection')
      const { id } = await kept(mesh, ann.send({ to: '@team', message: 'stored' }))
      way.away = false
      while (seen(ann, 'outbox').length === 0) await mesh.advance(5000)
      expect(seen(ann, 'outbox')).toEqual([{ id, to: ['Bob'], stored: 1 }])
    }
    expect(await texts(bob, 1)).toEqual(['stored'])
    expect(new Set(wire).size).toBe(1)
  },
)

test('the reader may be away when it is forwarded, and never have met the session that sealed it', async () => {
  await using stack = new AsyncDisposableStack()
  const { mesh, session, alice, bob } = await scene(stack)
  const carol = await mesh.member('Carol')
  const desk = newDesk()
  await mesh.settle()
  await alice.send({ to: 'Carol', message: 'known', durable: true })
  await leaves(alice)
  const { id } = await kept(mesh, alice.send({ to: 'Carol', message: 'later', durable: true }))
  await alice.close()
  await (await session('Heir')).flushed()
  const vinnie = await mesh.peer('Vinnie', { identity: carol, options: { mailSeen: desk.mailSeen } })
  while (vinnie.inbox.size < 2) await change(vinnie, 'message')
  expect(vinnie.inbox.peek()).toMatchObject([{ text: 'known' }, { id, text: 'later', from: { name: 'Alice', member: { name: 'Alice' } }, durable: true }])
  expect(bob.inbox.size).toBe(0)
})

test('two sessions flush at once: each message once on the wire', async () => {
  await using stack = new AsyncDisposableStack()
  const { mesh, session, alice, bob, wire } = await scene(stack)
  await leaves(alice)
  for (let i = 0; i < 10; i++) await kept(mesh, alice.send({ to: 'Bob', message: `n${i}` }))
  await alice.close()
  await Promise.all([session('One'), session('Two')])
  expect(await texts(bob, 10)).toEqual(Array.from({ length: 10 }, (_, i) => `n${i}`))
  await mesh.settle()
  expect(wire).toHaveLength(10)
})

test('the next process of the same session sends what the killed one left before its own, and nothing counts as replayed', async () => {
  await using stack = new AsyncDisposableStack()
  const { mesh, session, alice, bob } = await scene(stack)
  await alice.send({ to: 'Bob', message: 'zero' })
  await leaves(alice)
  await kept(mesh, alice.send({ to: 'Bob', message: 'one' }))
  await alice.close()
  const again = await session('Alice', { session: newSession(2, alice.sessionKey) })
  await again.send({ to: 'Bob', message: 'two' })
  expect(await texts(bob, 3)).toEqual(['zero', 'one', 'two'])
  expect(seen(bob, 'refused')).toEqual([])
})

test('a group message from the outbox is topped up for who came meanwhile, while its key is still there', async () => {
  await using stack = new AsyncDisposableStack()
  const { mesh, session, bob } = await scene(stack)
  await bob.joinGroup('team')
  const ann = await session('Ann', { groups: [{ name: 'team' }] })
  await leaves(ann)
  await kept(mesh, ann.send({ to: '@team', message: 'all of you' }))
  const late = await mesh.peer('Late', { groups: [{ name: 'team' }] })
  await returns(mesh, ann)
  expect(await texts(late, 1)).toEqual(['all of you'])
  expect(await texts(bob, 1)).toEqual(['all of you'])
})

test('what waits for over a day is given up, and said to be', async () => {
  await using stack = new AsyncDisposableStack()
  const { mesh, alice } = await scene(stack)
  await leaves(alice)
  const { id } = await kept(mesh, alice.send({ to: 'Bob', message: 'too late' }))
  mesh.clock.advance(24 * 3_600_000 + 10)
  expect(await next(alice, 'outbox')).toMatchObject({ id, failed: 'expired' })
  expect(await alice.status(id as never)).toMatchObject({ outbox: { failed: 'expired' } })
})

test('so is a message for whom nobody is left', async () => {
  await using stack = new AsyncDisposableStack()
  const { mesh, alice, bob } = await scene(stack)
  await leaves(alice)
  const { id } = await kept(mesh, alice.send({ to: 'Bob', message: 'to nobody' }))
  await bob.close({ bye: true })
  await returns(mesh, alice)
  expect(await next(alice, 'outbox')).toMatchObject({ id, failed: 'recipient_gone' })
})

test('a session that never met its broker seals mail for members it knows from before, and nothing else', async () => {
  await using stack = new AsyncDisposableStack()
  const { mesh, desk, session, alice } = await scene(stack)
  const carol = await mesh.member('Carol')
  await alice.send({ to: 'Carol', message: 'known', durable: true })
  await using offline = await Mesh.offline({ ...(await mesh.options('Alice', { identity: alice.identity })), ...desk })
  expect(await offline.send({ to: 'Carol', message: 'unplugged', durable: true })).toMatchObject({ outbox: true, mail: [{ name: 'Carol' }] })
  await expect(offline.send({ to: 'Bob', message: 'x' })).rejects.toMatchObject({ code: 'unknown_target' })
  await (await session('Heir')).flushed()
  const vinnie = await mesh.peer('Vinnie', { identity: carol, options: { mailSeen: newDesk().mailSeen } })
  while (vinnie.inbox.size < 2) await change(vinnie, 'message')
  expect(vinnie.inbox.drain().map(({ text }) => text)).toEqual(['known', 'unplugged'])
})

test('a volatile message waits for nobody', async () => {
  await using stack = new AsyncDisposableStack()
  const { mesh, desk, alice } = await scene(stack)
  await leaves(alice)
  const sending = alice.send({ to: 'Bob', message: 'x', volatile: true })
  mesh.clock.advance(2000)
  await expect(sending).rejects.toMatchObject({ code: 'unavailable' })
  expect(desk.outbox.list()).toEqual([])
})

test('what is seen while the broker is away is proven to the sender when it is back', async () => {
  await using stack = new AsyncDisposableStack()
  const { mesh, alice, bob } = await scene(stack)
  const sent = [await bob.send({ to: 'Alice', message: 'one' }), await bob.send({ to: 'Alice', message: 'two' })]
  const [one, two] = [await next(alice, 'message'), await next(alice, 'message')]
  await leaves(alice)
  // An outbox that is not empty goes first, and does not go at all for now.
  await kept(mesh, alice.send({ to: 'Bob', message: 'before' }))
  alice.surfaced([one])
  await mesh.advance(10_000)
  alice.surfaced([two])
  await mesh.advance(10_000)
  expect(seen(bob, 'delivery').filter(({ proven }) => proven)).toEqual([])
  await returns(mesh, alice)
  for (const { id } of sent) expect(await next(bob, 'delivery', (update) => update.id === id && update.proven === true)).toMatchObject({ rung: 'surfaced' })
})

test('what is seen while the outbox cannot be emptied is proven to the sender once it is', async () => {
  await using stack = new AsyncDisposableStack()
  const { mesh, session, alice, bob } = await scene(stack)
  await alice.close()
  const evil = stack.use(await EvilBroker.before(mesh.url))
  const ann = await session('Ann', { dial: evil.dial })
  const { id } = await bob.send({ to: 'Ann', message: 'seen?' })
  const message = await next(ann, 'message')
  evil.tamper = (frame) => [frame.type === 'ack' ? { type: 'error', id: frame['id'], code: 'storage_unavailable', message: 'away' } : frame]
  expect(await ann.send({ to: 'Bob', message: 'waits' })).toMatchObject({ outbox: true })
  ann.surfaced([message])
  await mesh.advance(5000)
  expect(seen(bob, 'delivery').filter(({ proven }) => proven)).toEqual([])
  evil.tamper = (frame) => [frame]
  await mesh.advance(10_000)
  expect(await next(bob, 'delivery', (update) => update.proven === true)).toMatchObject({ id, rung: 'surfaced' })
  expect(seen(ann, 'connection')).toEqual([])
})
