import { times } from '@claudemesh/protocol'
import { Mesh, type Dial } from '@claudemesh/client'
import { expect, test } from 'vitest'
import { TestClock } from '../harness/clock.ts'
import { OffClock } from '../harness/off-clock.ts'
import { change, next, record, seen } from '../harness/events.ts'
import { newSession, testMesh } from '../harness/mesh.ts'
import { verifies } from '../harness/verifies.ts'

test('a lost connection comes back with the same key, and what was queued meanwhile opens', async () => {
  verifies('encryption.stable-session-key', 'encryption.queued-opens-later')
  await using mesh = await testMesh()
  const alice = await mesh.peer('Alice')
  const bob = await mesh.peer('Bob')
  const key = bob.me.session

  bob.line.refuse()
  bob.line.cut()
  await next(bob, 'connection', ({ phase }) => phase === 'waiting')
  while (alice.peers()[0]?.connected) await next(alice, 'peer')
  const { id } = await alice.send({ to: 'Bob', message: 'while you were away' })
  expect(await alice.status(id)).toMatchObject({ delivered: false, recipients: [{ name: 'Bob', rung: 'stored', connected: false }] })

  bob.line.refuse(false)
  await mesh.advance(5000)
  expect(await next(bob, 'message')).toMatchObject({ id, text: 'while you were away', from: { name: 'Alice' } })
  expect(bob.me.session).toBe(key)
  expect(await next(alice, 'delivery', (update) => update.rung === 'received')).toMatchObject({ id, name: 'Bob' })
  await mesh.settle()
  expect(seen(bob, 'message')).toEqual([])
})

test('a queued message opens after its sender left for good', async () => {
  verifies('queue.sender-session-key')
  await using mesh = await testMesh()
  const alice = await mesh.peer('Alice')
  const bob = await mesh.peer('Bob')
  bob.line.refuse()
  bob.line.cut()
  await next(bob, 'connection', ({ phase }) => phase === 'waiting')
  await alice.send({ to: 'Bob', message: 'goodbye' })
  await alice.close({ bye: true })
  bob.line.refuse(false)
  await mesh.advance(5000)
  expect(await next(bob, 'message')).toMatchObject({ text: 'goodbye', from: { name: 'Alice' } })
})

test('a send that the line swallowed is repeated with the same bytes and stored once', async () => {
  await using mesh = await testMesh()
  const alice = await mesh.peer('Alice')
  const bob = await mesh.peer('Bob')

  // The broker stores it; its ack does not get through.
  alice.line.hold()
  const sending = alice.send({ to: 'Bob', message: 'exactly once' })
  const message = await next(bob, 'message')
  alice.line.cut()
  await next(alice, 'connection', ({ phase }) => phase === 'waiting')
  await mesh.advance(5000)

  expect(await sending).toMatchObject({ id: message.id, queued: 1 })
  await mesh.settle()
  expect(seen(bob, 'message')).toEqual([])
})

test('what is sent while disconnected goes out after the reconnect', async () => {
  await using mesh = await testMesh()
  const alice = await mesh.peer('Alice')
  const bob = await mesh.peer('Bob')
  alice.line.cut()
  await next(alice, 'connection', ({ phase }) => phase === 'waiting')
  const sending = alice.send({ to: 'Bob', message: 'patience' })
  await mesh.advance(5000)
  expect((await sending).queued).toBe(1)
  expect((await next(bob, 'message')).text).toBe('patience')
})

test('without a broker a send gives up after a minute, another request after ten seconds', async () => {
  await using mesh = await testMesh()
  const alice = await mesh.peer('Alice')
  await mesh.peer('Bob')
  alice.line.refuse()
  alice.line.cut()
  await next(alice, 'connection', ({ phase }) => phase === 'waiting')
  const sending = expect(alice.send({ to: 'Bob', message: 'never' })).rejects.toThrow(expect.objectContaining({ code: 'unavailable' }))
  const asking = expect(alice.calls.session.getPolicy({})).rejects.toThrow(expect.objectContaining({ code: 'unavailable' }))
  const changing = expect(alice.setSummary('never')).rejects.toThrow(expect.objectContaining({ code: 'unavailable' }))
  await mesh.advance(61_000)
  await Promise.all([sending, asking, changing])
  expect(alice.me.summary).toBeUndefined()
})

test('a presence that misses three pings is marked disconnected, and may still be written to', async () => {
  verifies('presence.stale-after-3-pings')
  await using mesh = await testMesh()
  const alice = await mesh.peer('Alice')
  // Bob's own time stands still, so that only the broker can notice.
  const bob = await mesh.peer('Bob', { options: { clock: new TestClock(mesh.clock.now()) } })
  bob.line.freeze()
  await mesh.advance(times.stale - times.ping)
  expect(alice.peers()).toMatchObject([{ name: 'Bob', connected: true }])
  await mesh.advance(2 * times.ping)
  expect(alice.peers()).toMatchObject([{ name: 'Bob', connected: false }])
  expect(await alice.send({ to: 'Bob', message: 'for your return' })).toMatchObject({ queued: 1 })
})

test('a client notices that its line is dead by the missing pings and dials again', async () => {
  await using mesh = await testMesh()
  const alice = await mesh.peer('Alice')
  const bob = await mesh.peer('Bob')
  alice.line.freeze()
  await mesh.advance(90_000)
  await next(alice, 'connection', ({ phase }) => phase === 'waiting')
  await mesh.advance(5000)
  await next(alice, 'connection', ({ phase }) => phase === 'ready')
  await mesh.settle()
  await bob.send({ to: 'Alice', message: 'welcome back' })
  expect((await next(alice, 'message')).text).toBe('welcome back')
})

test('each attempt waits longer than the one before, up to half a minute', async () => {
  await using mesh = await testMesh()
  const alice = await mesh.peer('Alice', { options: { random: (n) => new Uint8Array(n).fill(255) } })
  alice.line.refuse()
  alice.line.cut()
  const waits: number[] = []
  for (let i = 0; i < 9; i++) {
    const state = await next(alice, 'connection', ({ phase }) => phase === 'waiting')
    if (state.phase !== 'waiting') continue
    waits.push(state.until - mesh.clock.now())
    mesh.clock.advance(state.until - mesh.clock.now())
  }
  expect(waits).toEqual([250, 500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000])
})

test('status and presence are what they were after a reconnect', async () => {
  await using mesh = await testMesh()
  const alice = await mesh.peer('Alice')
  const bob = await mesh.peer('Bob')
  await bob.joinGroup('team', 'lead')
  await bob.setSummary('halfway')
  await bob.setStatus('dnd')
  bob.line.cut()
  await next(bob, 'connection', ({ phase }) => phase === 'waiting')
  await mesh.advance(5000)
  await mesh.settle()
  expect(alice.peers()).toMatchObject([{ status: 'dnd', summary: 'halfway', groups: [{ name: 'team', role: 'lead' }], connected: true }])
})

test('a status set while disconnected is told after the reconnect', async () => {
  await using mesh = await testMesh()
  const alice = await mesh.peer('Alice')
  const bob = await mesh.peer('Bob')
  await bob.setStatus('working')
  for (const status of ['dnd', 'idle'] as const) {
    bob.line.cut()
    await next(bob, 'connection', ({ phase }) => phase === 'waiting')
    await bob.setStatus(status)
    expect(bob.me.status).toBe(status)
    await mesh.advance(5000)
    while (alice.peers()[0]?.status !== status) await change(alice, 'peer')
  }
})

test('a second process with the same session key takes over, and the first one stops', async () => {
  await using mesh = await testMesh()
  const alice = await mesh.peer('Alice')
  const bob = await mesh.peer('Bob')
  await alice.send({ to: 'Bob', message: 'from the first life' })
  await next(bob, 'message')

  const session = newSession(2, alice.sessionKey)
  const heir = await mesh.peer('Alice', { identity: alice.identity, session })
  expect(await next(alice, 'connection', ({ phase }) => phase === 'closed')).toMatchObject({ reason: { code: 'replaced' } })
  await expect(alice.send({ to: 'Bob', message: 'x' })).rejects.toThrow(expect.objectContaining({ code: 'replaced' }))
  await heir.send({ to: 'Bob', message: 'from the second life' })
  expect(await next(bob, 'message')).toMatchObject({ text: 'from the second life', from: { session: alice.me.session } })
  await mesh.settle()
  expect(seen(bob, 'refused')).toEqual([])
})

test('the session certificate is renewed before it ends, unnoticed', async () => {
  await using mesh = await testMesh()
  const alice = await mesh.peer('Alice')
  const bob = await mesh.peer('Bob')
  for (let hour = 0; hour < 30; hour++) {
    mesh.clock.advance(3_600_000)
    await mesh.settle()
  }
  await mesh.advance(10_000)
  expect(alice.peers().map((peer) => peer.name)).toEqual(['Bob'])
  await alice.send({ to: 'Bob', message: 'still here' })
  expect((await next(bob, 'message')).text).toBe('still here')
})

test('goodbye destroys the key: what is queued for it fails at once', async () => {
  await using mesh = await testMesh()
  const alice = await mesh.peer('Alice')
  const bob = await mesh.peer('Bob')
  bob.line.hold()
  const { id } = await alice.send({ to: 'Bob', message: 'too late' })
  const closing = bob.close({ bye: true })
  expect(await next(alice, 'delivery', ({ rung }) => rung === 'failed')).toMatchObject({ id, name: 'Bob', reason: 'recipient_gone' })
  bob.line.release()
  await closing
})

test('a broker that is not there is said to be unreachable', async () => {
  await using mesh = await testMesh()
  const options = await mesh.options('Alice')
  options.line.refuse()
  await expect(Mesh.connect(options)).rejects.toThrow(expect.objectContaining({ code: 'unavailable' }))
})

test('a persistent client waits for a broker that is not there yet', async () => {
  await using mesh = await testMesh()
  await mesh.peer('Bob')
  const options = await mesh.options('Alice', { options: { persist: true } })
  options.line.refuse()
  const failures = new EventTarget()
  const dial: Dial = (url, events) =>
    options.dial(url, { ...events, close: (code, error) => (events.close(code, error), failures.dispatchEvent(new Event('failed'))) })
  const failed = () => new Promise((resolve) => failures.addEventListener('failed', resolve, { once: true }))
  const first = failed()
  const connecting = Mesh.connect({ ...options, dial })
  await first
  for (let attempt = 0; attempt < 3; attempt++) {
    const again = failed()
    mesh.clock.advance(2000)
    await again
  }
  options.line.refuse(false)
  mesh.clock.advance(4000)
  await using alice = await connecting
  record(alice)
  expect(alice.peers().map((peer) => peer.name)).toEqual(['Bob'])
})

test('a closed session answers every call with why', async () => {
  await using mesh = await testMesh()
  const alice = await mesh.peer('Alice')
  await mesh.peer('Bob')
  const pending = alice.calls.session.getPolicy({})
  const late = expect(pending).rejects.toThrow(expect.objectContaining({ code: 'closed' }))
  await alice.close()
  await late
  await expect(alice.setSummary('x')).rejects.toThrow(expect.objectContaining({ code: 'closed' }))
  await alice.close()
})

test('a line that dies just when the clock is set back by a day is noticed all the same', async () => {
  await using mesh = await testMesh()
  const clock = new OffClock(mesh.clock)
  const bob = await mesh.peer('Bob', { options: { clock } })
  bob.line.freeze()
  clock.off = -24 * 3_600_000
  for (let passed = 0; passed < 180_000 && bob.connection.phase === 'ready'; passed += 5_000) await mesh.advance(5_000)
  expect(bob.connection).toMatchObject({ phase: 'waiting', cause: { message: 'the broker went silent' } })
})
