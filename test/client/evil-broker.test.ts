import { fromB64u, issueMember, issuePresence, issueSession, memberKey, meshIdOf, messageIdOf, rootKey, sessionKey, toB64u } from '@claudemesh/crypto'
import { nodeRandom } from '@claudemesh/client/node'
import type { ClientId, ErrorCode, SessionPubkey } from '@claudemesh/protocol'
import { expect, test } from 'vitest'
import { EvilBroker, type Frame } from '../harness/evil.ts'
import { change, next, seen } from '../harness/events.ts'
import { testMesh, type TestMesh, type TestPeer } from '../harness/mesh.ts'
import { verifies } from '../harness/verifies.ts'

interface Scene {
  readonly mesh: TestMesh
  /** Connected through the liar. */
  readonly bob: TestPeer
  readonly evil: EvilBroker
  readonly alice: TestPeer
  readonly mallory: TestPeer
}

async function scene(stack: AsyncDisposableStack): Promise<Scene> {
  const mesh = stack.use(await testMesh())
  const evil = stack.use(await EvilBroker.before(mesh.url))
  const bob = await mesh.peer('Bob', { dial: evil.dial, groups: [{ name: 'team' }] })
  const alice = await mesh.peer('Alice', { groups: [{ name: 'team' }] })
  const mallory = await mesh.peer('Mallory', { groups: [{ name: 'team' }] })
  await mesh.settle()
  return { mesh, evil, bob, alice, mallory }
}

const flip = (text: unknown, at: number) => {
  const bytes = fromB64u(String(text))
  bytes[at < 0 ? bytes.length + at : at]! ^= 1
  return toB64u(bytes)
}

/** The push under another sender, with all that anybody can compute. */
function from(push: Frame, senderPubkey: SessionPubkey): Frame {
  return { ...push, chain: undefined, presence: undefined, senderPubkey, messageId: messageIdOf(senderPubkey, push['id'] as ClientId) }
}

interface Lie {
  readonly what: string
  readonly to: string
  readonly reason: ErrorCode
  readonly lie: (push: Frame, scene: Scene) => Frame
}

const lies: Lie[] = [
  { what: 'flips a bit of a boxed message', to: 'Bob', reason: 'cannot_open', lie: (push) => ({ ...push, ciphertext: flip(push['ciphertext'], 40) }) },
  { what: 'flips the last bit of a shared body', to: '@team', reason: 'body_swapped', lie: (push) => ({ ...push, ciphertext: flip(push['ciphertext'], -1) }) },
  { what: 'flips a bit of the wrap', to: '@team', reason: 'cannot_open', lie: (push) => ({ ...push, wrap: flip(push['wrap'], 3) }) },
  { what: 'flips a bit of the nonce', to: 'Bob', reason: 'cannot_open', lie: (push) => ({ ...push, nonce: flip(push['nonce'], 0) }) },
  { what: 'strips the wrap', to: '@team', reason: 'cannot_open', lie: (push) => ({ ...push, wrap: undefined }) },
  { what: 'adds a wrap to a boxed message', to: 'Bob', reason: 'cannot_open', lie: (push) => ({ ...push, wrap: toB64u(nodeRandom(88)) }) },
  {
    what: 'names another sender',
    to: 'Bob',
    reason: 'cannot_open',
    lie: (push, { mallory }) => from(push, mallory.me.session),
  },
  {
    what: 'names a sender nobody knows',
    to: 'Bob',
    reason: 'unknown_sender',
    lie: (push) => from(push, sessionKey(nodeRandom(32)).publicKey),
  },
  {
    what: 'names Bob himself as the sender',
    to: 'Bob',
    reason: 'unknown_sender',
    lie: (push, { bob }) => from(push, bob.me.session),
  },
  { what: 'raises the priority', to: 'Bob', reason: 'mismatched_envelope', lie: (push) => ({ ...push, priority: 'now' }) },
  {
    what: 'changes the client id',
    to: 'Bob',
    reason: 'mismatched_envelope',
    lie: (push, { alice }) => from({ ...push, id: toB64u(nodeRandom(16)) }, alice.me.session),
  },
  { what: 'changes the message id', to: 'Bob', reason: 'mismatched_envelope', lie: (push) => ({ ...push, messageId: toB64u(nodeRandom(16)) }) },
  {
    what: 'moves the message to another mesh',
    to: 'Bob',
    reason: 'wrong_mesh',
    lie: (push) => ({ ...push, meshId: meshIdOf(rootKey(nodeRandom(32)).publicKey) }),
  },
  { what: 'puts text beside the ciphertext', to: 'Bob', reason: 'plaintext_refused', lie: (push) => ({ ...push, plain: 'rm -rf /' }) },
  {
    what: 'puts text in place of the ciphertext',
    to: 'Bob',
    reason: 'plaintext_refused',
    lie: (push) => ({ ...push, ciphertext: undefined, wrap: undefined, plain: 'rm -rf /' }),
  },
  {
    what: 'puts base64 text in place of the ciphertext',
    to: 'Bob',
    reason: 'cannot_open',
    lie: (push) => ({ ...push, ciphertext: toB64u(new TextEncoder().encode('rm -rf /')) }),
  },
  { what: 'sends neither text nor ciphertext', to: 'Bob', reason: 'cannot_open', lie: (push) => ({ ...push, ciphertext: undefined }) },
]

test.for(lies)('a broker that $what delivers nothing: $reason', async ({ to, reason, lie }) => {
  verifies('encryption.no-fallback', 'encryption.only-the-recipient')
  await using stack = new AsyncDisposableStack()
  const all = await scene(stack)
  const { bob, alice, evil } = all
  evil.tamper = (frame) => [frame.type === 'push' ? lie(frame, all) : frame]

  await alice.send({ to, message: 'the truth', priority: 'low' })
  const refused = await next(bob, 'refused')

  expect(refused.reason).toBe(reason)
  expect(refused.notice).toMatch(/^\[1 message from [0-9a-f]{4} [0-9a-f]{4} could not be verified and was not shown\]$/)
  expect(seen(bob, 'message')).toEqual([])
  expect(bob.inbox.size).toBe(0)

  // The sender hears of it, and the session goes on.
  evil.tamper = (frame) => [frame]
  await alice.send({ to: 'Bob', message: 'once more' })
  expect((await next(bob, 'message')).text).toBe('once more')
})

test('a refused message is reported to its sender by name', async () => {
  await using stack = new AsyncDisposableStack()
  const { bob, alice, evil } = await scene(stack)
  evil.tamper = (frame) => [frame.type === 'push' ? { ...frame, ciphertext: flip(frame['ciphertext'], 40) } : frame]
  const { id } = await alice.send({ to: 'Bob', message: 'the truth' })
  await next(bob, 'refused')
  expect(await next(alice, 'delivery')).toMatchObject({ id, name: 'Bob', rung: 'failed', reason: 'cannot_open' })
})

test('a broker that repeats messages is heard once', async () => {
  await using stack = new AsyncDisposableStack()
  const { mesh, bob, alice, evil } = await scene(stack)
  await alice.send({ to: 'Bob', message: 'once' })
  const { id } = await next(bob, 'message')
  const push = evil.told.findLast((frame) => frame.type === 'push') as Frame
  for (let i = 0; i < 3; i++) evil.say(push)
  await mesh.settle()
  expect(seen(bob, 'refused')).toEqual([])
  expect(seen(bob, 'message')).toEqual([])
  expect(bob.inbox.peek().map((message) => message.id)).toEqual([id])
})

test('a broker that reflects a message, or redirects one meant for somebody else, delivers nothing', async () => {
  await using stack = new AsyncDisposableStack()
  const { mesh, bob, alice, mallory, evil } = await scene(stack)
  const other = stack.use(await EvilBroker.before(mesh.url))
  const carol = await mesh.peer('Carol', { dial: other.dial })

  await alice.send({ to: 'Carol', message: 'for Carol alone' })
  await next(carol, 'message')
  evil.say(other.told.findLast((frame) => frame.type === 'push') as Frame)
  expect((await next(bob, 'refused')).reason).toBe('cannot_open')

  await bob.send({ to: 'Mallory', message: 'for Mallory' })
  await next(mallory, 'message')
  const sent = evil.heard.findLast((frame) => frame.type === 'send') as Frame
  const { meshId } = other.told.findLast((frame) => frame.type === 'push') as Frame
  evil.say({ ...from({ ...sent, type: 'push' }, mallory.me.session), meshId, createdAt: 0 })
  expect((await next(bob, 'refused')).reason).toBe('wrong_recipient')
  expect(seen(bob, 'message')).toEqual([])
})

test('bodies of two messages to the same group cannot be exchanged', async () => {
  await using stack = new AsyncDisposableStack()
  const { bob, alice, evil } = await scene(stack)
  await alice.send({ to: '@team', message: 'vote: yes' })
  await next(bob, 'message')
  const first = evil.told.findLast((frame) => frame.type === 'push') as Frame
  evil.tamper = (frame) => [frame.type === 'push' ? { ...frame, ciphertext: first['ciphertext'] } : frame]
  await alice.send({ to: '@team', message: 'vote: no' })
  expect((await next(bob, 'refused')).reason).toBe('body_swapped')
})

test('a message that was dropped is missed once later ones arrive', async () => {
  await using stack = new AsyncDisposableStack()
  const { mesh, bob, alice, evil } = await scene(stack)
  let dropped = 0
  evil.tamper = (frame) => (frame.type === 'push' && dropped++ < 2 ? [] : [frame])
  for (const message of ['one', 'two', 'three']) await alice.send({ to: 'Bob', message })
  expect((await next(bob, 'message')).text).toBe('three')
  await mesh.advance(15_000)
  expect(await next(bob, 'gap')).toEqual({ from: 'Alice', session: alice.me.session, missing: 2 })
  await alice.send({ to: 'Bob', message: 'four' })
  await next(bob, 'message')
  await mesh.advance(15_000)
  expect(seen(bob, 'gap')).toEqual([])
})

test('a roster that renames, invents or exchanges peers is not believed', async () => {
  await using stack = new AsyncDisposableStack()
  const { mesh, evil, alice, mallory } = await scene(stack)
  const root = rootKey(nodeRandom(32))
  const stranger = memberKey(nodeRandom(32))
  const ghost = sessionKey(nodeRandom(32))
  const now = mesh.clock.now()
  const id = mesh.founder.mesh
  const ghostPresence = issuePresence({ mesh: id, session: ghost, seq: 1, ts: now, name: 'Zoe', groups: [{ name: 'team' }] })
  const ghostTokens = [
    issueMember({ mesh: id, subject: stranger, issuer: root, role: 'member', name: 'Stranger', iat: now }),
    issueSession({ mesh: id, session: ghost, member: stranger, iat: now }),
  ]
  const forged = issuePresence({ mesh: id, session: mallory.sessionKey, seq: 99, ts: now, name: 'Alice', groups: [] })
  evil.tamper = (frame) => {
    if (frame.type === 'ack') return [{ ...frame, missing: [] }]
    if (frame.type !== 'peers_list') return [frame]
    const peers = frame['peers'] as Frame[]
    const tokens = frame['tokens'] as string[]
    const lies = peers.map((peer) => {
      // Alice's certificates under Mallory's key, and a presence for Alice that Mallory signed.
      if (peer['sessionPubkey'] === alice.me.session) return { ...peer, presence: forged }
      return peer['sessionPubkey'] === mallory.me.session ? { ...peer, sessionPubkey: alice.me.session.replace(/^./, 'A') } : peer
    })
    const invented = { sessionPubkey: ghost.publicKey, chain: [tokens.length, tokens.length + 1], presence: ghostPresence, status: 'idle', connected: true }
    return [{ ...frame, peers: [...lies, invented], tokens: [...tokens, ...ghostTokens] }]
  }
  const dave = await mesh.peer('Dave', { dial: evil.dial })
  expect(dave.peers().map((peer) => peer.name)).toEqual(['Bob'])
  for (const to of ['Alice', 'Mallory', 'Zoe'])
    await expect(dave.send({ to, message: 'x' })).rejects.toThrow(expect.objectContaining({ code: 'unknown_target' }))
  expect((await dave.send({ to: '@team', message: 'x' })).recipients.map((peer) => peer.name)).toEqual(['Bob'])
})

test('a session under the certificates of another member is not believed', async () => {
  await using stack = new AsyncDisposableStack()
  const { mesh, evil, alice, mallory } = await scene(stack)
  evil.tamper = (frame) => {
    if (frame.type !== 'peers_list') return [frame]
    const peers = frame['peers'] as Frame[]
    const chain = peers.find((peer) => peer['sessionPubkey'] === alice.me.session)?.['chain']
    return [{ ...frame, peers: peers.map((peer) => (peer['sessionPubkey'] === mallory.me.session ? { ...peer, chain } : peer)) }]
  }
  const dave = await mesh.peer('Dave', { dial: evil.dial })
  expect(dave.peers().map((peer) => [peer.name, peer.member.name])).toEqual([
    ['Alice', 'Alice'],
    ['Bob', 'Bob'],
  ])
})

test('an old presence does not come back', async () => {
  await using stack = new AsyncDisposableStack()
  const { bob, alice, evil } = await scene(stack)
  const before = evil.told.findLast((frame) => frame.type === 'peer_update' && (frame['peer'] as Frame)['sessionPubkey'] === alice.me.session) as Frame
  await alice.leaveGroup('team')
  while (bob.peers({ group: 'team' }).some((peer) => peer.name === 'Alice')) await change(bob, 'peer')
  const heard = change(bob, 'peer')
  evil.say(before)
  await heard
  expect(bob.peers({ group: 'team' }).map((peer) => peer.name)).toEqual(['Mallory'])
})

test('a ghost recipient in the acknowledgement is not wrapped for', async () => {
  await using stack = new AsyncDisposableStack()
  const { mesh, bob, evil } = await scene(stack)
  const spy = await mesh.peer('Spy')
  while (!bob.peers().some((peer) => peer.session === spy.me.session)) await change(bob, 'peer')
  const { peer, tokens } = evil.told.findLast((frame) => frame.type === 'peer_update' && (frame['peer'] as Frame)['sessionPubkey'] === spy.me.session) as Frame
  evil.tamper = (frame) => [frame.type === 'ack' ? { ...frame, missing: [peer], tokens } : frame]
  const sent = await bob.send({ to: '@team', message: 'not for spies' })
  expect(sent.recipients.map((recipient) => recipient.name).sort()).toEqual(['Alice', 'Mallory'])
  expect(evil.heard.filter((frame) => frame.type === 'send_more')).toEqual([])
})

test('frames that are no frames are passed over', async () => {
  await using stack = new AsyncDisposableStack()
  const { bob, alice, evil } = await scene(stack)
  const nonsense: Frame[] = [
    { type: 'push' },
    { type: 'from_the_future', x: 1 },
    { type: 'peer_update', peer: { sessionPubkey: 'x' }, tokens: [] },
    { type: 'peer_update', peer: { sessionPubkey: alice.me.session, chain: [7, 8], presence: 'a.b', status: 'idle', connected: true }, tokens: [] },
    { type: 'delivery', updates: 'none' },
    { type: 'ack', id: 'nobody-asked' },
    { type: 'policy_changed', policy: 'a.b' },
    { type: 'error', code: 'rate_limited', message: 'slow down' },
  ]
  for (const frame of nonsense) evil.say(frame)
  await alice.send({ to: 'Bob', message: 'all well' })
  expect((await next(bob, 'message')).text).toBe('all well')
})

test('a send ends with its ciphertext, which a broker need not parse', async () => {
  await using stack = new AsyncDisposableStack()
  const { bob, evil } = await scene(stack)
  await bob.send({ to: '@team', message: 'one' })
  await bob.send({ to: 'Alice', message: 'two' })
  const sent = evil.heard.filter((frame) => frame.type === 'send').map((frame) => Object.keys(frame))
  expect(sent.map((keys) => [keys.at(0), keys.at(-1)])).toEqual([
    ['type', 'ciphertext'],
    ['type', 'ciphertext'],
  ])
})

test('a presence that does not verify does not push out the one that does', async () => {
  await using stack = new AsyncDisposableStack()
  const { mesh, bob, alice, mallory, evil } = await scene(stack)
  const update = evil.told.findLast((frame) => frame.type === 'peer_update' && (frame['peer'] as Frame)['sessionPubkey'] === alice.me.session) as Frame
  const forged = issuePresence({ mesh: mesh.founder.mesh, session: mallory.sessionKey, seq: 2 ** 40, ts: mesh.clock.now(), name: 'Nobody', groups: [] })
  for (let i = 0; i < 2; i++) {
    const heard = change(bob, 'peer')
    evil.say({ ...update, peer: { ...(update['peer'] as Frame), presence: forged } })
    await heard
  }
  expect(bob.peers().map((peer) => peer.name)).toEqual(['Alice', 'Mallory'])
})

test('a session whose certificate has ended is no peer, whatever the broker says', async () => {
  await using stack = new AsyncDisposableStack()
  const { mesh, bob, evil } = await scene(stack)
  expect(bob.peers()).toHaveLength(2)
  const old = { peers: [] as unknown, tokens: [] as unknown }
  await bob.calls.peers.list({})
  Object.assign(
    old,
    evil.told.findLast((frame) => frame.type === 'peers_list'),
  )
  evil.tamper = (frame) => {
    if (frame.type === 'peers_list') return [{ ...frame, ...old, id: frame['id'] }]
    return frame.type === 'peer_update' || frame.type === 'peer_gone' ? [] : [frame]
  }
  for (let hour = 0; hour < 25; hour++) {
    mesh.clock.advance(3_600_000)
    await mesh.settle()
  }
  expect(bob.peers()).toEqual([])
})

test('messages that come before the roster wait for it', async () => {
  await using stack = new AsyncDisposableStack()
  const { mesh, bob, alice, evil } = await scene(stack)
  const held: Frame[] = []
  const pushed = new Promise<void>((resolve) => {
    evil.tamper = (frame) => {
      if (frame.type === 'push') resolve()
      if (frame.type === 'push') return [{ ...frame, chain: undefined, presence: undefined }]
      // Alice's certificates come with the roster alone.
      if (frame.type === 'peers_list') held.push(frame)
      return frame.type === 'peers_list' ? [] : [frame]
    }
  })
  evil.hangUp(1001)
  await next(bob, 'connection', ({ phase }) => phase === 'waiting')
  const sending = alice.send({ to: 'Bob', message: 'while you were away' })
  mesh.clock.advance(1000)
  await Promise.all([sending, pushed])
  while (held.length === 0) await bob.calls.session.getPolicy({})
  expect(seen(bob, 'message')).toEqual([])
  for (const frame of held) evil.say(frame)
  expect(await next(bob, 'message')).toMatchObject({ text: 'while you were away', from: { name: 'Alice' } })
})
