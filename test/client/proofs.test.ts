import { PairKeys, SendCounters, seal, toB64u } from '@claudemesh/crypto'
import type { ClientId } from '@claudemesh/protocol'
import { nodeRandom } from '@claudemesh/client/node'
import { expect, test } from 'vitest'
import { EvilBroker } from '../harness/evil.ts'
import { next, seen } from '../harness/events.ts'
import { newSession, testMesh, type TestMesh, type TestPeer } from '../harness/mesh.ts'

test('what its reader has seen is proven to the sender, sealed, and nobody is woken by the proof', async () => {
  await using mesh = await testMesh()
  const alice = await mesh.peer('Alice')
  const bob = await mesh.peer('Bob')
  const { id } = await alice.send({ to: 'Bob', message: 'read me' })
  const other = await alice.send({ to: 'Bob', message: 'me too' })
  const messages = [await next(bob, 'message'), await next(bob, 'message')]
  bob.surfaced(messages)
  expect(bob.inbox.size).toBe(0)
  expect(await next(bob, 'surfaced')).toEqual([id, other.id])
  for (const one of [id, other.id])
    expect(await next(alice, 'delivery', (update) => update.id === one && update.proven === true)).toMatchObject({ name: 'Bob', rung: 'surfaced' })
  expect(await alice.status(id)).toMatchObject({ delivered: true, recipients: [{ rung: 'surfaced', proven: true }] })
  await mesh.settle()
  expect(seen(alice, 'message')).toEqual([])
  expect(alice.inbox.size).toBe(0)
  // The proof itself is a message nobody asks about, and none is left in the queue.
  expect(seen(bob, 'delivery')).toEqual([])
  alice.line.cut()
  await next(alice, 'connection', ({ phase }) => phase === 'waiting')
  await mesh.advance(5000)
  await next(alice, 'connection', ({ phase }) => phase === 'ready')
  await mesh.settle()
  expect(seen(alice, 'delivery').filter((update) => update.proven === true)).toEqual([])
})

test('a sender that did not hear the proof has the broker’s word alone, and is told so', async () => {
  await using mesh = await testMesh()
  const alice = await mesh.peer('Alice')
  const bob = await mesh.peer('Bob')
  const { id } = await alice.send({ to: 'Bob', message: 'read me' })
  bob.surfaced([await next(bob, 'message')])
  await next(alice, 'delivery', ({ proven }) => proven === true)
  // Another session of the same member knows nothing of the proof.
  const twin = await mesh.peer('Alice2', { identity: alice.identity })
  expect(await twin.status(id)).toMatchObject({ recipients: [{ rung: 'surfaced', proven: false }] })
})

test('what was received and not surfaced comes to the next process of the session; what was surfaced does not', async () => {
  await using mesh = await testMesh()
  const alice = await mesh.peer('Alice')
  const session = newSession()
  const bob = await mesh.peer('Bob', { session })
  const first = await alice.send({ to: 'Bob', message: 'seen' })
  const second = await alice.send({ to: 'Bob', message: 'unseen' })
  bob.surfaced([await next(bob, 'message')])
  await next(bob, 'message')
  await next(alice, 'delivery', ({ proven }) => proven === true)
  await bob.close()
  const again = await mesh.peer('Bob', { identity: bob.identity, session: { ...session, incarnation: 2 }, options: { shown: [first.id] } })
  // The broker reads the queue beside the other requests.
  while (again.inbox.size === 0) await again.calls.session.getPolicy({})
  await mesh.settle()
  expect(again.inbox.peek()).toMatchObject([{ id: second.id, text: 'unseen' }])
})

test('a broker that repeats what an earlier process of the session showed shows nothing', async () => {
  await using mesh = await testMesh()
  await using evil = await EvilBroker.before(mesh.url)
  const alice = await mesh.peer('Alice')
  const session = newSession()
  const bob = await mesh.peer('Bob', { session, dial: evil.dial })
  const { id } = await alice.send({ to: 'Bob', message: 'pay 10' })
  bob.surfaced([await next(bob, 'message')])
  await next(alice, 'delivery', ({ proven }) => proven === true)
  const push = evil.told.find((frame) => frame.type === 'push')
  await bob.close()
  const again = await mesh.peer('Bob', { identity: bob.identity, session: { ...session, incarnation: 2 }, dial: evil.dial, options: { shown: [id] } })
  if (push) evil.say(push)
  await mesh.settle()
  expect(seen(again, 'message')).toEqual([])
  expect(again.inbox.size).toBe(0)
})

test('a sealed message of a kind this client does not know is refused by name', async () => {
  await using mesh = await testMesh()
  const alice = await mesh.peer('Alice')
  const bob = await mesh.peer('Bob')
  sendKind(mesh, alice, bob, 'order', 'obey')
  expect(await next(bob, 'refused')).toMatchObject({ reason: 'bad_version' })
  sendKind(mesh, alice, bob, 'receipt', '{"surfaced":["x"]}')
  expect(await next(bob, 'refused')).toMatchObject({ reason: 'bad_frame' })
  sendKind(mesh, alice, bob, 'receipt', 'yes')
  expect(await next(bob, 'refused')).toMatchObject({ reason: 'bad_frame' })
  expect(seen(bob, 'message')).toEqual([])
})

const counters = new SendCounters(5)

/** Sends what no client of ours would: a sealed message of any kind. */
function sendKind(mesh: TestMesh, from: TestPeer, to: TestPeer, k: string, b: string): void {
  const id = toB64u(nodeRandom(16)) as ClientId
  const { nonce, ciphertext } = seal({
    keys: new PairKeys(from.sessionKey),
    counters,
    mesh: from.identity.mesh,
    sender: from.me.session,
    recipients: [to.me.session],
    message: { to: '', id, ts: mesh.clock.now(), p: 'low', b, k },
    random: nodeRandom,
  })
  // Its ack bears the message's own id, for which this request does not wait: it ends with the connection.
  from.calls.messages.send({ id, targetSpec: to.me.session, priority: 'low', nonce, to: to.me.session, ciphertext }).catch(() => {})
}
