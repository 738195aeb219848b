import { sessionKey } from '@claudemesh/crypto'
import { limits } from '@claudemesh/protocol'
import { nodeRandom } from '@claudemesh/client/node'
import { expect, test } from 'vitest'
import { change, next, seen } from '../harness/events.ts'
import { testMesh } from '../harness/mesh.ts'
import { verifies } from '../harness/verifies.ts'

test('a message to a name reaches that peer alone', async () => {
  verifies('groups.direct', 'names.of-senders')
  await using mesh = await testMesh()
  const alice = await mesh.peer('Alice')
  const bob = await mesh.peer('Bob')
  const carol = await mesh.peer('Carol')

  const sent = await alice.send({ to: 'Bob', message: 'can you review?' })
  const message = await next(bob, 'message')

  expect(message).toMatchObject({ id: sent.id, text: 'can you review?', to: 'Bob', priority: 'next', verified: true })
  expect(message.from).toMatchObject({ name: 'Alice', session: alice.me.session, fingerprint: alice.me.fingerprint })
  expect(sent).toMatchObject({ queued: 1, gone: [], recipients: [{ name: 'Bob' }] })
  await mesh.settle()
  expect(seen(carol, 'message')).toEqual([])
})

test('a message to a group reaches its members alone, and never its sender', async () => {
  verifies('groups.multicast', 'groups.sender-excluded', 'groups.patterns-by-convention')
  await using mesh = await testMesh()
  const frontend = [{ name: 'frontend' }]
  const alice = await mesh.peer('Alice', { groups: [{ name: 'frontend', role: 'lead' }] })
  const bob = await mesh.peer('Bob', { groups: frontend })
  const carol = await mesh.peer('Carol', { groups: frontend })
  const dave = await mesh.peer('Dave', { groups: [{ name: 'backend' }] })

  const sent = await alice.send({ to: '@frontend', message: 'auth is broken' })

  expect(sent.recipients.map((peer) => peer.name).sort()).toEqual(['Bob', 'Carol'])
  expect((await next(bob, 'message')).to).toBe('@frontend')
  expect((await next(carol, 'message')).text).toBe('auth is broken')
  await bob.send({ to: '@frontend', message: 'a member sends like its lead' })
  expect((await next(alice, 'message')).from.name).toBe('Bob')
  await mesh.settle()
  expect(seen(dave, 'message')).toEqual([])
  expect(seen(bob, 'message')).toEqual([])
})

test.for(['*', '@all'])('a message to %s reaches every other peer', async (everybody) => {
  verifies('groups.broadcast', 'groups.all', 'broadcast.sender-excluded')
  await using mesh = await testMesh()
  const alice = await mesh.peer('Alice')
  const others = [await mesh.peer('Bob'), await mesh.peer('Carol', { groups: [{ name: 'backend' }] })]

  expect(await alice.send({ to: everybody, message: 'standup in 5' })).toMatchObject({ queued: 2 })

  for (const peer of others) expect(await next(peer, 'message')).toMatchObject({ to: everybody, text: 'standup in 5' })
  await mesh.settle()
  expect(seen(alice, 'message')).toEqual([])
})

test('an array mixes names and groups, and whoever several of them name gets the message once', async () => {
  verifies('targets.string-or-array', 'targets.deduplicated')
  await using mesh = await testMesh()
  const alice = await mesh.peer('Alice', { groups: [{ name: 'backend' }] })
  const bob = await mesh.peer('Bob', { groups: [{ name: 'backend' }] })
  const carol = await mesh.peer('Carol')
  await mesh.peer('Dave')

  const sent = await alice.send({ to: ['Bob', '@backend', 'Carol', 'bob'], message: 'sprint starts' })

  expect(sent.recipients.map((peer) => peer.name).sort()).toEqual(['Bob', 'Carol'])
  expect((await next(bob, 'message')).to).toBe('Bob, @backend, Carol, bob')
  await next(carol, 'message')
  await mesh.settle()
  expect(seen(bob, 'message')).toEqual([])
})

test('two sessions of one member have different keys and write to each other', async () => {
  verifies('identity.same-member-sessions', 'identity.session-per-launch', 'peers.member-id-persists', 'routing.session-keys')
  await using mesh = await testMesh()
  const identity = await mesh.member('Anna')
  const desk = await mesh.peer('Desk', { identity })
  const laptop = await mesh.peer('Laptop', { identity })
  const bob = await mesh.peer('Bob')

  expect(desk.me.session).not.toBe(laptop.me.session)
  expect(desk.me.memberId).toBe(laptop.me.memberId)
  expect(bob.peers().map((peer) => peer.member.id)).toEqual([desk.me.memberId, desk.me.memberId])
  await desk.send({ to: 'Laptop', message: 'carry on there' })
  expect((await next(laptop, 'message')).from.name).toBe('Desk')
  await bob.send({ to: 'Laptop', message: 'only there' })
  await next(laptop, 'message')
  await mesh.settle()
  expect(seen(desk, 'message')).toEqual([])
})

test('two peers of one name must be told apart, by key or by member', async () => {
  await using mesh = await testMesh()
  const bob = await mesh.peer('Bob')
  const one = await mesh.peer('Alice', { identity: await mesh.member('Anna') })
  const two = await mesh.peer('alice', { identity: await mesh.member('Ben') })
  const keyOf = (peer: typeof one) => peer.me.fingerprint.replaceAll(' ', '')

  const refusal = bob.send({ to: 'Alice', message: 'who?' })
  await expect(refusal).rejects.toThrow(
    expect.objectContaining({ code: 'ambiguous_name', message: expect.stringContaining(`Alice/${keyOf(one)} (member Anna)`) }),
  )
  await expect(refusal).rejects.toThrow(`alice/${keyOf(two)} (member Ben)`)
  await bob.send({ to: `Alice/${keyOf(one).slice(0, 6)}`, message: 'by key' })
  expect((await next(one, 'message')).text).toBe('by key')
  await bob.send({ to: 'Alice (Ben)', message: 'by member' })
  expect((await next(two, 'message')).text).toBe('by member')
  await bob.send({ to: one.me.session, message: 'by the whole key' })
  expect((await next(one, 'message')).text).toBe('by the whole key')
})

test('a session that came back under a new key is not confused with its own ghost, but with another member of its name', async () => {
  await using mesh = await testMesh()
  const bob = await mesh.peer('Bob')
  const anna = await mesh.member('Anna')
  const ghost = await mesh.peer('Alice', { identity: anna })
  ghost.line.refuse()
  ghost.line.cut()
  while (bob.peers()[0]?.connected !== false) await next(bob, 'peer')
  const alice = await mesh.peer('Alice', { identity: anna })
  while (bob.peers().length < 2) await next(bob, 'peer')

  await bob.send({ to: 'Alice', message: 'welcome back' })
  expect((await next(alice, 'message')).text).toBe('welcome back')

  await mesh.peer('Alice', { identity: await mesh.member('Ben') })
  while (bob.peers().length < 3) await next(bob, 'peer')
  await expect(bob.send({ to: 'Alice', message: 'who?' })).rejects.toThrow(expect.objectContaining({ code: 'ambiguous_name' }))
})

test('a target that nobody answers to is refused with the nearest names', async () => {
  await using mesh = await testMesh()
  const alice = await mesh.peer('Alice')
  await mesh.peer('Robert', { groups: [{ name: 'frontend' }] })

  await expect(alice.send({ to: 'Robret', message: 'x' })).rejects.toThrow(
    expect.objectContaining({ code: 'unknown_target', message: expect.stringContaining('nearest: Robert') }),
  )
  await expect(alice.send({ to: '@fronted', message: 'x' })).rejects.toThrow(
    expect.objectContaining({ code: 'unknown_target', message: expect.stringContaining('@frontend') }),
  )
  await expect(alice.send({ to: ['Robert', 'Zoe'], message: 'x' })).rejects.toThrow(expect.objectContaining({ code: 'unknown_target' }))
  await expect(alice.send({ to: 'Q', message: 'x' })).rejects.toThrow('there are: Robert')
  await expect(alice.send({ to: '@', message: 'x' })).rejects.toThrow(expect.objectContaining({ code: 'bad_name' }))
})

test('a target in which there is nobody else is refused', async () => {
  await using mesh = await testMesh()
  const alice = await mesh.peer('Alice', { groups: [{ name: 'frontend' }] })

  for (const to of ['*', '@frontend', 'Alice', ['Alice', '@frontend']]) {
    await expect(alice.send({ to, message: 'anybody?' })).rejects.toThrow(expect.objectContaining({ code: 'no_recipients' }))
  }
})

test('the longest text passes whole, a longer or empty one is refused before it is sent', async () => {
  await using mesh = await testMesh()
  const alice = await mesh.peer('Alice')
  const bob = await mesh.peer('Bob')
  const longest = 'ä'.repeat(limits.message / 2)

  await alice.send({ to: 'Bob', message: longest })
  expect((await next(bob, 'message')).text).toBe(longest)
  await expect(alice.send({ to: 'Bob', message: `${longest}.` })).rejects.toThrow(
    expect.objectContaining({ code: 'too_large', message: expect.stringContaining('65537') }),
  )
  await expect(alice.send({ to: 'Bob', message: '' })).rejects.toThrow(expect.objectContaining({ code: 'bad_frame' }))
})

test('half a surrogate pair does not break a message', async () => {
  await using mesh = await testMesh()
  const alice = await mesh.peer('Alice')
  const bob = await mesh.peer('Bob')
  await alice.send({ to: 'Bob', message: 'cut \ud83d here' })
  expect((await next(bob, 'message')).text).toBe('cut \ufffd here')
})

test('a reply names the message it answers, and the sender sees that it was answered', async () => {
  verifies('wire.message-status', 'tools.message-status')
  await using mesh = await testMesh()
  const alice = await mesh.peer('Alice')
  const bob = await mesh.peer('Bob')
  const carol = await mesh.peer('Carol')

  const { id } = await alice.send({ to: ['Bob', 'Carol'], message: 'done?', priority: 'now' })
  expect((await next(bob, 'message')).priority).toBe('now')
  await next(carol, 'message')
  await next(alice, 'delivery', ({ name, rung }) => name === 'Carol' && rung === 'received')
  await bob.send({ to: 'Alice', message: 'yes', re: id })
  expect((await next(alice, 'message')).re).toBe(id)

  const status = await alice.status(id)
  expect(status).toMatchObject({ id, delivered: true })
  expect(Object.fromEntries(status.recipients.map(({ name, rung }) => [name, rung]))).toEqual({ Bob: 'answered', Carol: 'received' })
  await expect(carol.status(id)).rejects.toThrow(expect.objectContaining({ code: 'not_found' }))
})

test('a volatile message reaches who is connected and claims no more', async () => {
  await using mesh = await testMesh()
  const alice = await mesh.peer('Alice')
  const bob = await mesh.peer('Bob')
  expect(await alice.send({ to: 'Bob', message: 'typing', volatile: true })).toMatchObject({ queued: 0, volatile: true })
  expect((await next(bob, 'message')).text).toBe('typing')
})

test('messages of one sender arrive in the order they were sent', async () => {
  await using mesh = await testMesh()
  const alice = await mesh.peer('Alice')
  const bob = await mesh.peer('Bob', { groups: [{ name: 'team' }] })
  const texts = Array.from({ length: 60 }, (_, i) => `message ${i}`)

  await Promise.all(texts.map((message, i) => alice.send({ to: i % 3 ? 'Bob' : '@team', message })))

  for (const text of texts) expect((await next(bob, 'message')).text).toBe(text)
  expect(bob.inbox.drain().map((message) => message.text)).toEqual(texts)
  expect(bob.inbox.size).toBe(0)
})

test('whoever joins the group while a message is on its way is added to it', async () => {
  await using mesh = await testMesh()
  const alice = await mesh.peer('Alice')
  const bob = await mesh.peer('Bob', { groups: [{ name: 'team' }] })
  const carol = await mesh.peer('Carol')

  // Alice does not hear that Carol joined before she has sealed her message.
  alice.line.hold()
  await carol.joinGroup('team')
  const sending = alice.send({ to: '@team', message: 'all of you' })
  await next(bob, 'message')
  alice.line.release()
  const sent = await sending

  expect(sent.recipients.map((peer) => peer.name)).toEqual(['Bob', 'Carol'])
  expect(sent.queued).toBe(2)
  expect((await next(carol, 'message')).text).toBe('all of you')
  await mesh.settle()
  expect(seen(bob, 'message')).toEqual([])
})

test('who joins a group later gets none of its earlier messages', async () => {
  verifies('groups.no-history', 'groups.join-and-leave', 'tools.join-group', 'tools.leave-group', 'wire.groups')
  await using mesh = await testMesh()
  const alice = await mesh.peer('Alice')
  const bob = await mesh.peer('Bob', { groups: [{ name: 'team' }] })
  const carol = await mesh.peer('Carol')

  await alice.send({ to: '@team', message: 'before' })
  await carol.joinGroup('@Team', 'observer')
  await next(alice, 'peer', ({ session }) => session === carol.me.session && alice.peers({ group: 'team' }).length === 2)
  await alice.send({ to: '@team', message: 'during' })
  await carol.leaveGroup('team')
  while (alice.peers({ group: 'team' }).length > 1) await next(alice, 'peer')
  await alice.send({ to: '@team', message: 'after' })

  for (const text of ['before', 'during', 'after']) expect((await next(bob, 'message')).text).toBe(text)
  await mesh.settle()
  expect(seen(carol, 'message').map((message) => message.text)).toEqual(['during'])
})

test('a key of nobody in the mesh is no target', async () => {
  await using mesh = await testMesh()
  const alice = await mesh.peer('Alice')
  await expect(alice.send({ to: sessionKey(nodeRandom(32)).publicKey, message: 'x' })).rejects.toThrow(expect.objectContaining({ code: 'unknown_target' }))
})

test('a session that takes no messages keeps a bounded number; the others follow when it does', async () => {
  await using mesh = await testMesh()
  const alice = await mesh.peer('Alice')
  const bob = await mesh.peer('Bob')
  const most = limits.queuedPerSession
  for (let sent = 0; sent < most + 20; sent += 102) {
    await Promise.all(Array.from({ length: 102 }, (_, i) => alice.send({ to: 'Bob', message: `${sent + i}`, volatile: true })))
  }
  while (bob.inbox.size < most) await change(bob, 'message')
  await mesh.settle()
  expect(bob.inbox.size).toBe(most)
  const first = bob.inbox.drain().map((message) => Number(message.text))
  const rest = bob.inbox.drain().map((message) => Number(message.text))
  expect([...first, ...rest]).toEqual(Array.from({ length: 1020 }, (_, i) => i))
})
