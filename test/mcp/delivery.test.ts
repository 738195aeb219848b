import { expect, test } from 'vitest'
import { EvilBroker, type Frame } from '../harness/evil.ts'
import { next } from '../harness/events.ts'
import { McpClient, SessionInbox } from '../harness/mcp.ts'
import { testMesh, type TestMesh, type TestPeer } from '../harness/mesh.ts'

interface Desk {
  readonly mesh: TestMesh
  readonly alice: TestPeer
  readonly bob: TestPeer
  readonly mcp: McpClient
  readonly inbox: SessionInbox
}

/** Bob's session has an inbox; Alice writes to him. */
async function desk(stack: AsyncDisposableStack): Promise<Desk> {
  const mesh = stack.use(await testMesh())
  const inbox = stack.use(await SessionInbox.open())
  const bob = await mesh.peer('Bob')
  const alice = await mesh.peer('Alice')
  const mcp = stack.use(await McpClient.start({ mesh: Promise.resolve(bob), clock: mesh.clock, inbox }))
  await mcp.initialize()
  await mcp.call('check_messages')
  return { mesh, alice, bob, mcp, inbox }
}

const count = (text: string) => text.match(/<peer-message /g)?.length ?? 0

test('a message goes into the session as a turn, and not into check_messages as well', async () => {
  await using stack = new AsyncDisposableStack()
  const { alice, mcp, inbox } = await desk(stack)
  await alice.send({ to: 'Bob', message: 'can you review?' })
  const turn = await inbox.turn()
  expect(turn).toMatchObject({ from: 'mesh:Alice', priority: 'next' })
  expect(turn.text).toMatch(/^<peer-message from="Alice" .*>\ncan you review\?\n<\/peer-message nonce="[0-9a-f]{16}">$/)
  expect((await mcp.call('check_messages')).text).toBe('No messages wait.')
})

test('an urgent message interrupts', async () => {
  await using stack = new AsyncDisposableStack()
  const { alice, inbox } = await desk(stack)
  await alice.send({ to: 'Bob', message: 'stop the deploy', priority: 'now' })
  expect((await inbox.turn()).priority).toBe('now')
})

test('a message of low priority wakes nobody and rides with the next one', async () => {
  await using stack = new AsyncDisposableStack()
  const { alice, bob, inbox } = await desk(stack)
  await alice.send({ to: 'Bob', message: 'by the way', priority: 'low' })
  await next(bob, 'message')
  await alice.send({ to: 'Bob', message: 'a question' })
  const { text, priority } = await inbox.turn()
  expect(text).toContain('by the way')
  expect(text).toContain('a question')
  expect(count(text)).toBe(2)
  expect(priority).toBe('next')
  expect(inbox.turns).toEqual([])
})

test('a message of low priority comes to a working session at the end of its turn', async () => {
  await using stack = new AsyncDisposableStack()
  const { alice, mcp, inbox } = await desk(stack)
  await mcp.call('hook_event', { event: 'UserPromptSubmit' })
  await alice.send({ to: 'Bob', message: 'by the way', priority: 'low' })
  expect(await inbox.turn()).toMatchObject({ priority: 'later', text: expect.stringContaining('by the way') })
})

test('do not disturb holds all but urgent messages, until it ends', async () => {
  await using stack = new AsyncDisposableStack()
  const { mesh, alice, bob, mcp, inbox } = await desk(stack)
  await mcp.call('set_status', { status: 'dnd' })
  await alice.send({ to: 'Bob', message: 'held' })
  await next(bob, 'message')
  await alice.send({ to: 'Bob', message: 'fire', priority: 'now' })
  const urgent = await inbox.turn()
  expect(urgent.text).toContain('fire')
  expect(urgent.text).not.toContain('held')
  await mesh.settle()
  expect(inbox.turns).toEqual([])
  await mcp.call('set_status', { status: 'idle' })
  expect((await inbox.turn()).text).toContain('held')
})

test('many messages become few turns, in order, well below what the session drops', async () => {
  await using stack = new AsyncDisposableStack()
  const { mesh, alice, bob, inbox } = await desk(stack)
  const texts = Array.from({ length: 120 }, (_, i) => `message ${String(i).padStart(3, '0')}`)
  for (const message of texts) await alice.send({ to: 'Bob', message })
  for (const text of texts) expect((await next(bob, 'message')).text).toBe(text)
  const turns: string[] = []
  const collect = async () => {
    while (turns.reduce((sum, text) => sum + count(text), 0) < texts.length) turns.push((await inbox.turn()).text)
  }
  const collecting = collect()
  await mesh.advance(10_000)
  await collecting
  expect(turns.length).toBeLessThanOrEqual(12)
  expect(turns.join('\n').match(/message \d{3}/g)).toEqual(texts)
})

test('a long message is shown in part and read whole with check_messages', async () => {
  await using stack = new AsyncDisposableStack()
  const { alice, mcp, inbox } = await desk(stack)
  const long = `${'word '.repeat(10_000)}the end`
  await alice.send({ to: 'Bob', message: long })
  const { text } = await inbox.turn()
  expect(text.length).toBeLessThan(9000)
  expect(text).toMatch(/\[truncated: \d+ of 50007 characters shown; read all of it with check_messages\]/)
  await alice.send({ to: 'Bob', message: 'short' })
  expect((await inbox.turn()).text).not.toContain('word')
  expect((await mcp.call('check_messages')).text).toContain(long)
})

test('when the session refuses, messages wait for check_messages, and are tried again', async () => {
  await using stack = new AsyncDisposableStack()
  const { mesh, alice, bob, mcp, inbox } = await desk(stack)
  await inbox.refuse()
  await alice.send({ to: 'Bob', message: 'first' })
  await next(bob, 'message')
  await untilWaiting(bob, 1)
  expect((await mcp.call('check_messages')).text).toContain('first')

  await alice.send({ to: 'Bob', message: 'second' })
  await next(bob, 'message')
  await untilWaiting(bob, 1)
  await inbox.listen()
  mesh.clock.advance(15_000)
  const { text } = await inbox.turn()
  expect(text).toContain('second')
  expect(text).not.toContain('first')
  expect((await mcp.call('check_messages')).text).toBe('No messages wait.')
})

test('what could not be told is told with the next delivery that succeeds', async () => {
  await using mesh = await testMesh()
  await using evil = await EvilBroker.before(mesh.url)
  await using inbox = await SessionInbox.open()
  const bob = await mesh.peer('Bob', { dial: evil.dial })
  const alice = await mesh.peer('Alice')
  await using mcp = await McpClient.start({ mesh: Promise.resolve(bob), clock: mesh.clock, inbox })
  await mcp.call('check_messages')
  await inbox.refuse()
  const lies = [(push: Frame) => ({ ...push, priority: 'low' })]
  evil.tamper = (frame) => [frame.type === 'push' ? (lies.pop()?.(frame) ?? frame) : frame]
  for (const message of ['forged', 'genuine']) await alice.send({ to: 'Bob', message })
  await next(bob, 'message')
  await untilWaiting(bob, 1)
  await inbox.listen()
  mesh.clock.advance(15_000)
  const { text } = await inbox.turn()
  expect(text).toContain('genuine')
  expect(text).not.toContain('forged')
  expect(text).toContain(`\n\n[1 message from ${alice.me.fingerprint} could not be verified and was not shown]`)
})

test('a message that came before the server stood is delivered when it does', async () => {
  await using mesh = await testMesh()
  await using inbox = await SessionInbox.open()
  const bob = await mesh.peer('Bob')
  const alice = await mesh.peer('Alice')
  await alice.send({ to: 'Bob', message: 'early' })
  await next(bob, 'message')
  await using mcp = await McpClient.start({ mesh: Promise.resolve(bob), clock: mesh.clock, inbox })
  await mcp.initialize()
  expect((await inbox.turn()).text).toContain('early')
})

test('without an inbox everything waits for check_messages', async () => {
  await using mesh = await testMesh()
  const bob = await mesh.peer('Bob')
  const alice = await mesh.peer('Alice')
  await using mcp = await McpClient.start({ mesh: Promise.resolve(bob), clock: mesh.clock })
  for (const message of ['one', 'two']) await alice.send({ to: 'Bob', message, priority: 'now' })
  for (const _ of [1, 2]) await next(bob, 'message')
  expect(count((await mcp.call('check_messages')).text)).toBe(2)
})

/** A refused post has put its messages back. */
async function untilWaiting(peer: TestPeer, size: number): Promise<void> {
  while (peer.inbox.size !== size) await peer.calls.session.getPolicy({})
}
