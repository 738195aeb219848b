import { expect, test } from 'vitest'
import type { Mesh, ReceivedMessage } from '@claudemesh/client'
import { EvilBroker, type Frame } from '../harness/evil.ts'
import { change, next, seen } from '../harness/events.ts'
import { newSession, testMesh, type PeerOptions, type TestMesh, type TestPeer } from '../harness/mesh.ts'
import { newDesk, type Desk } from '../harness/ports.ts'

/** Carol, whose desk shows mail; the mesh knows her, and she is away. */
async function carolAway(mesh: TestMesh) {
  const identity = await mesh.member('Carol')
  const desk = newDesk()
  const session = (name: string, o: PeerOptions = {}) => mesh.peer(name, { identity, options: { mailSeen: desk.mailSeen }, ...o })
  return { identity, desk, session }
}

/** The oldest message that waits, or else the next to come: what was queued may be there before anybody listens. */
async function first(mesh: TestPeer): Promise<ReceivedMessage> {
  while (mesh.inbox.size === 0) await change(mesh, 'message')
  return mesh.inbox.drain(1)[0] as ReceivedMessage
}

const refusal = (promise: Promise<unknown>) =>
  promise.then(
    () => 'none',
    (error: { code: string; message: string }) => `${error.code}: ${error.message}`,
  )

test('a durable message to a member who is away is shown by her next session, and the sender gets proof of it', async () => {
  await using mesh = await testMesh()
  const carol = await carolAway(mesh)
  const alice = await mesh.peer('Alice')

  const sent = await alice.send({ to: 'Carol', message: 'the plans are in the vault', durable: true, re: 'x'.repeat(22) })
  expect(sent).toMatchObject({ recipients: [], mail: [{ name: 'Carol', member: carol.identity.member.publicKey }], queued: 1, gone: [] })
  expect(await alice.status(sent.id)).toMatchObject({ delivered: false, recipients: [{ name: 'Carol', mail: true, rung: 'stored', connected: false }] })

  const vinnie = await carol.session('Vinnie')
  const message = await first(vinnie)
  expect(message).toMatchObject({ text: 'the plans are in the vault', durable: true, to: 'Carol', from: { name: 'Alice' }, verified: true })
  vinnie.surfaced([message])
  expect(await next(alice, 'delivery', ({ proven }) => proven === true)).toMatchObject({ id: sent.id, name: 'Carol', rung: 'surfaced' })
  expect(await alice.status(sent.id)).toMatchObject({ delivered: true, recipients: [{ rung: 'surfaced', proven: true, mail: true }] })

  // Answered under any name her session bears.
  await vinnie.send({ to: 'Alice', message: 'got them', re: sent.id })
  await next(alice, 'message')
  expect((await alice.status(sent.id)).recipients[0]).toMatchObject({ rung: 'answered' })
})

test('the sender may be long gone', async () => {
  await using mesh = await testMesh()
  const carol = await carolAway(mesh)
  const alice = await mesh.peer('Alice')
  await alice.send({ to: 'Carol', message: 'bye', durable: true })
  await alice.close({ bye: true })
  await mesh.advance((3 * 24 * 3_600_000) / 100)
  const vinnie = await carol.session('Vinnie')
  const message = await first(vinnie)
  expect(message).toMatchObject({ text: 'bye', from: { name: 'Alice', member: { name: 'Alice' } } })
  vinnie.surfaced([message])
})

test('a session of the member under another name that shows mail gets it at once; one that does not is passed over', async () => {
  await using mesh = await testMesh()
  const carol = await carolAway(mesh)
  const alice = await mesh.peer('Alice')
  const early = await carol.session('First')
  const second = await carol.session('Second')
  const tool = await mesh.peer('Tool', { identity: carol.identity })
  const { id } = await alice.send({ to: 'Carol', message: 'now', durable: true })
  expect(await first(second)).toMatchObject({ id, durable: true })
  await mesh.settle()
  expect(early.inbox.peek()).toEqual([])
  expect(tool.inbox.peek()).toEqual([])
  // Who is online under the name gets an ordinary message.
  const carolHerself = await carol.session('Carol')
  expect(await alice.send({ to: 'carol', message: 'you', durable: true })).toMatchObject({ mail: [], recipients: [{ session: carolHerself.me.session }] })
  expect(await first(carolHerself)).not.toHaveProperty('durable')
})

test('a session that ends without having shown its mail leaves it to another; what was shown is not shown again', async () => {
  await using mesh = await testMesh()
  const carol = await carolAway(mesh)
  const alice = await mesh.peer('Alice')
  await alice.send({ to: 'Carol', message: 'one', durable: true })
  await alice.send({ to: 'Carol', message: 'two', durable: true })
  const holder = await carol.session('First')
  const [one] = [await first(holder), await first(holder)]
  holder.surfaced([one])
  const second = await carol.session('Second')
  await mesh.settle()
  expect(second.inbox.peek()).toEqual([])
  await holder.close({ bye: true })
  expect(await first(second)).toMatchObject({ text: 'two' })
  expect(second.inbox.peek()).toEqual([])
})

test('a session that crashed lets its mail go when it is stale', async () => {
  await using mesh = await testMesh()
  const carol = await carolAway(mesh)
  const alice = await mesh.peer('Alice')
  const early = await carol.session('First')
  const second = await carol.session('Second')
  early.line.refuse()
  const { id } = await alice.send({ to: 'Carol', message: 'second has it', durable: true })
  const message = await first(second)
  expect(message.id).toBe(id)
  second.line.refuse()
  second.line.cut()
  await next(alice, 'peer', ({ session }) => session === second.me.session)
  early.line.refuse(false)
  expect(early.inbox.peek()).toEqual([])
  await mesh.advance(95_000)
  expect(await first(early)).toMatchObject({ id, text: 'second has it' })
})

test.for(['while its line is still away', 'when it is back'])(
  'what another session has shown is not shown by one that lost its line with it: %s',
  async (when) => {
    await using mesh = await testMesh()
    const carol = await carolAway(mesh)
    const alice = await mesh.peer('Alice')
    const early = await carol.session('First')
    const { id } = await alice.send({ to: 'Carol', message: 'once', durable: true })
    await next(early, 'message')
    early.line.refuse()
    early.line.cut()
    const second = await carol.session('Second')
    await mesh.advance(95_000)
    const message = await first(second)
    expect(message.id).toBe(id)
    expect(early.inbox.peek()).toMatchObject([{ id }])
    second.surfaced([message])
    if (when === 'when it is back') {
      early.line.refuse(false)
      while (early.connection.phase !== 'ready') await mesh.advance(5000)
      await mesh.settle()
    }
    expect(early.inbox.peek()).toEqual([])
  },
)

test('mail survives a reconnect of its holder and comes once', async () => {
  await using mesh = await testMesh()
  const carol = await carolAway(mesh)
  const alice = await mesh.peer('Alice')
  const vinnie = await carol.session('Vinnie')
  await alice.send({ to: 'Carol', message: 'once', durable: true })
  const message = await first(vinnie)
  vinnie.line.cut()
  await next(vinnie, 'connection', ({ phase }) => phase === 'waiting')
  await mesh.advance(10_000)
  await mesh.settle()
  vinnie.surfaced([message])
  await next(alice, 'delivery', ({ proven }) => proven === true)
  expect(vinnie.inbox.peek()).toEqual([])
})

test('without durable the error names the way; groups and everybody are never mail', async () => {
  await using mesh = await testMesh()
  await carolAway(mesh)
  const alice = await mesh.peer('Alice', { groups: [{ name: 'team' }] })
  await mesh.peer('Carl', { groups: [{ name: 'team' }] })
  expect(await refusal(alice.send({ to: 'Carol', message: 'x' }))).toMatch(
    /^unknown_target: .*nearest: Carl; durable: true \(--durable\) keeps it for the next session of member Carol$/,
  )
  expect(await refusal(alice.send({ to: 'Carola', message: 'x', durable: true }))).toMatch(/^unknown_target: /)
  expect(await refusal(alice.send({ to: '@team', message: 'x', durable: true }))).toMatch(/^not_durable: @team /)
  expect(await refusal(alice.send({ to: '*', message: 'x', durable: true }))).toMatch(/^not_durable: /)
  expect(await refusal(alice.send({ to: 'Carol', message: 'x', durable: true, volatile: true }))).toMatch(/^not_durable: /)
})

test('members of one name are told apart by key; a session’s member is meant by its name in brackets', async () => {
  await using mesh = await testMesh()
  const [one, other] = [await mesh.member('Carol'), await mesh.member('Carol')]
  const alice = await mesh.peer('Alice')
  const said = await refusal(alice.send({ to: 'Carol', message: 'x', durable: true }))
  expect(said).toMatch(/^ambiguous_name: 2 members answer to "Carol": Carol\/[0-9a-f]{8}, Carol\/[0-9a-f]{8}\./)
  const key = one.member.publicKey
  expect(await alice.send({ to: `Carol/${key.slice(0, 8)}`, message: 'x', durable: true })).toMatchObject({ mail: [{ member: key }] })
  expect(await alice.send({ to: other.member.publicKey, message: 'x', durable: true })).toMatchObject({ mail: [{ member: other.member.publicKey }] })
  const dora = await mesh.member('Dora')
  expect(await alice.send({ to: 'Vinnie (Dora)', message: 'x', durable: true })).toMatchObject({ mail: [{ member: dora.member.publicKey }] })
})

test('one message to a peer and to an absent member reaches both', async () => {
  await using mesh = await testMesh()
  const carol = await carolAway(mesh)
  const alice = await mesh.peer('Alice')
  const bob = await mesh.peer('Bob')
  const sent = await alice.send({ to: ['Bob', 'Carol'], message: 'both', durable: true })
  expect(sent).toMatchObject({ queued: 2, recipients: [{ name: 'Bob' }], mail: [{ name: 'Carol' }] })
  expect(await first(bob)).toMatchObject({ text: 'both', to: 'Bob, Carol' })
  expect(await first(await carol.session('Vinnie'))).toMatchObject({ text: 'both', durable: true })
})

test('mail of seven days ago is given up, and the sender is told', async () => {
  await using mesh = await testMesh()
  const carol = await carolAway(mesh)
  const alice = await mesh.peer('Alice')
  const { id } = await alice.send({ to: 'Carol', message: 'old', durable: true })
  mesh.clock.advance(7 * 24 * 3_600_000 + 60_000)
  const later = await mesh.peer('Later', { identity: alice.identity })
  for (let failed = false; !failed;) {
    mesh.clock.advance(60_000)
    await mesh.settle()
    failed = (await later.status(id)).recipients[0]?.rung === 'failed'
  }
  expect((await later.status(id)).recipients).toMatchObject([{ name: 'Carol', mail: true, rung: 'failed', reason: 'expired' }])
  const vinnie = await carol.session('Vinnie')
  await mesh.settle()
  expect(vinnie.inbox.peek()).toEqual([])
})

test('a removed member gets none: what waits fails as revoked, what comes is not taken', async () => {
  await using mesh = await testMesh()
  const carol = await carolAway(mesh)
  const founder = await mesh.peer('Founder', { identity: mesh.founder })
  const { id } = await founder.send({ to: 'Carol', message: 'x', durable: true })
  const key = carol.identity.member.publicKey
  await founder.amend({ revoke: { members: [key] } })
  expect(await next(founder, 'delivery', ({ rung }) => rung === 'failed')).toMatchObject({ id, name: expect.any(String), reason: 'revoked' })
  expect(await refusal(founder.send({ to: 'Carol', message: 'x', durable: true }))).toMatch(/^unknown_target: /)
})

test('the list of members comes in pages, proves itself, and an invented member is left out', async () => {
  await using stack = new AsyncDisposableStack()
  const mesh = stack.use(await testMesh())
  const evil = stack.use(await EvilBroker.before(mesh.url))
  const stranger = stack.use(await testMesh())
  const mallory = await stranger.member('Mallory')
  const alice = await mesh.peer('Alice', { dial: evil.dial })
  await mesh.member('Carol')
  evil.tamper = (frame) => {
    if (frame.type !== 'members_list') return [frame]
    const tokens = frame['tokens'] as string[]
    const lie = mallory.chain.map((_, i) => tokens.length + i)
    return [{ ...frame, tokens: [...tokens, ...mallory.chain], members: [...(frame['members'] as object[]), { chain: lie }] }]
  }
  expect(await refusal(alice.send({ to: 'Mallory', message: 'x', durable: true }))).toMatch(/^unknown_target: /)
  expect(await alice.send({ to: 'Carol', message: 'x', durable: true })).toMatchObject({ mail: [{ name: 'Carol' }] })
})

interface Replay {
  readonly evil: EvilBroker
  readonly push: Frame
  readonly desk: Desk
  readonly mesh: TestMesh
  readonly alice: Mesh
  readonly identity: Awaited<ReturnType<TestMesh['member']>>
}

/** Carol has shown a mail on a line that a liar listens to. */
async function shownOnce(stack: AsyncDisposableStack): Promise<Replay> {
  const mesh = stack.use(await testMesh())
  const evil = stack.use(await EvilBroker.before(mesh.url))
  const { identity, desk, session } = await carolAway(mesh)
  const alice = await mesh.peer('Alice')
  await alice.send({ to: 'Carol', message: 'rob the bank', durable: true })
  const holder = await session('First', { dial: evil.dial })
  holder.surfaced([await first(holder)])
  await next(alice, 'delivery', ({ proven }) => proven === true)
  await holder.close({ bye: true })
  const push = evil.told.find((frame) => frame.type === 'push') as Frame
  return { evil, push, desk, mesh, identity, alice }
}

test('mail that a broker repeats to a later session is not shown again, and alarms nobody: its receipt may have been lost', async () => {
  await using stack = new AsyncDisposableStack()
  const { evil, push, desk, mesh, identity, alice } = await shownOnce(stack)
  const second = await mesh.peer('Second', { identity, dial: evil.dial, options: { mailSeen: desk.mailSeen } })
  evil.say(push)
  await alice.send({ to: 'Second', message: 'after it' })
  expect(await next(second, 'message')).toMatchObject({ text: 'after it' })
  expect(second.inbox.size).toBe(1)
  expect(seen(second, 'refused')).toEqual([])
  const told = evil.heard.filter((frame) => frame.type === 'receipt' && (frame['surfaced'] as string[] | undefined)?.includes(push['messageId'] as string))
  expect(told).toHaveLength(2)
})

test('mail pushed to a session that shows none, or not as mail, is refused', async () => {
  await using stack = new AsyncDisposableStack()
  const { evil, push, desk, mesh, identity } = await shownOnce(stack)
  const blind = await mesh.peer('Blind', { identity, dial: evil.dial })
  evil.say(push)
  expect((await next(blind, 'refused')).reason).toBe('wrong_recipient')
  await blind.close({ bye: true })
  const second = await mesh.peer('Second', { identity, dial: evil.dial, session: newSession(), options: { mailSeen: desk.mailSeen } })
  const { mail: _, ...bare } = push
  evil.say(bare)
  expect((await next(second, 'refused')).reason).toBe('cannot_open')
  evil.say({ ...push, senderPubkey: second.me.session })
  expect((await next(second, 'refused')).reason).toBe('mismatched_envelope')
})
