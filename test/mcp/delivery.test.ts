import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { EvilBroker, type Frame } from '../harness/evil.ts'
import { next, seen } from '../harness/events.ts'
import { McpClient, SessionInbox } from '../harness/mcp.ts'
import { newSession, testMesh, type TestMesh, type TestPeer } from '../harness/mesh.ts'

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

/** The session takes the turn up: its hook sees it, and the turn ends. */
async function take(mcp: McpClient, text: string): Promise<void> {
  await mcp.call('hook_event', { event: 'UserPromptSubmit', prompt: text })
  await mcp.call('hook_event', { event: 'Stop' })
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

test('an urgent message goes before those that wait, and aborts nothing', async () => {
  await using stack = new AsyncDisposableStack()
  const { alice, bob, mcp, inbox } = await desk(stack)
  await mcp.call('hook_event', { event: 'UserPromptSubmit', prompt: 'a long task' })
  const under: string[] = []
  for (let i = 0; i < 4; i++) {
    await alice.send({ to: 'Bob', message: `early ${i}` })
    under.push((await inbox.turn()).text)
  }
  await alice.send({ to: 'Bob', message: 'ordinary' })
  await next(bob, 'message', ({ text }) => text === 'ordinary')
  await alice.send({ to: 'Bob', message: 'stop the deploy', priority: 'now' })
  const { text, priority } = await inbox.turn()
  expect(text.indexOf('stop the deploy')).toBeLessThan(text.indexOf('ordinary'))
  expect(priority).toBe('next')
})

test('a turn that overtakes one of low priority carries no other of low priority', async () => {
  await using stack = new AsyncDisposableStack()
  const { alice, mcp, inbox } = await desk(stack)
  await mcp.call('hook_event', { event: 'UserPromptSubmit', prompt: 'a long task' })
  await alice.send({ to: 'Bob', message: 'low 1', priority: 'low' })
  expect(await inbox.turn()).toMatchObject({ priority: 'later' })
  await mcp.call('set_status', { status: 'dnd' })
  await alice.send({ to: 'Bob', message: 'low 2', priority: 'low' })
  await alice.send({ to: 'Bob', message: 'a question' })
  await mcp.call('set_status', { status: 'working' })
  const { text } = await inbox.turn()
  expect(text).toContain('a question')
  expect(text).not.toContain('low 2')
  expect((await inbox.turn()).text).toContain('low 2')
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

test('a message of low priority comes at the end of the turn though others used up the pace and the turn ended meanwhile', async () => {
  await using stack = new AsyncDisposableStack()
  const { mesh, alice, bob, mcp, inbox } = await desk(stack)
  await mcp.call('hook_event', { event: 'UserPromptSubmit', prompt: 'a long task' })
  for (let i = 0; i < 8; i++) {
    await alice.send({ to: 'Bob', message: `urgent ${i}`, priority: 'now' })
    await mcp.call('hook_event', { event: 'UserPromptSubmit', prompt: (await inbox.turn()).text })
  }
  await alice.send({ to: 'Bob', message: 'by the way', priority: 'low' })
  await next(bob, 'message', ({ text }) => text === 'by the way')
  await mcp.call('hook_event', { event: 'Stop' })
  expect(inbox.turns).toEqual([])
  mesh.clock.advance(2000)
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
  const { alice, bob, mcp, inbox } = await desk(stack)
  const texts = Array.from({ length: 120 }, (_, i) => `message ${String(i).padStart(3, '0')}`)
  for (const message of texts) await alice.send({ to: 'Bob', message })
  for (const text of texts) expect((await next(bob, 'message')).text).toBe(text)
  const turns: string[] = []
  const collect = async () => {
    while (turns.reduce((sum, text) => sum + count(text), 0) < texts.length) {
      const { text } = await inbox.turn()
      turns.push(text)
      await take(mcp, text)
    }
  }
  await collect()
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

test('a message is surfaced when a hook has seen it and the session went on, not when it was posted', async () => {
  await using stack = new AsyncDisposableStack()
  const { mesh, alice, mcp, inbox } = await desk(stack)
  const { id } = await alice.send({ to: 'Bob', message: 'read me' })
  const { text } = await inbox.turn()
  await mesh.settle()
  expect(await alice.status(id)).toMatchObject({ recipients: [{ rung: 'received' }] })
  await mcp.call('hook_event', { event: 'UserPromptSubmit', prompt: text })
  expect(seen(alice, 'delivery').filter(({ proven }) => proven)).toEqual([])
  mesh.clock.advance(1000)
  expect(await next(alice, 'delivery', ({ proven }) => proven === true)).toMatchObject({ id, rung: 'surfaced' })
  expect(await alice.status(id)).toMatchObject({ recipients: [{ rung: 'surfaced', proven: true }] })
})

test('the next hook tells as well that the session went on', async () => {
  await using stack = new AsyncDisposableStack()
  const { alice, mcp, inbox } = await desk(stack)
  const { id } = await alice.send({ to: 'Bob', message: 'read me' })
  await mcp.call('hook_event', { event: 'UserPromptSubmit', prompt: (await inbox.turn()).text })
  await mcp.call('hook_event', { event: 'PreToolUse' })
  expect(await next(alice, 'delivery', ({ proven }) => proven === true)).toMatchObject({ id, rung: 'surfaced' })
})

test('what a hook saw of a session that then died is not called surfaced', async () => {
  await using stack = new AsyncDisposableStack()
  const { mesh, alice, mcp, inbox } = await desk(stack)
  const { id } = await alice.send({ to: 'Bob', message: 'too late' })
  await mcp.call('hook_event', { event: 'UserPromptSubmit', prompt: (await inbox.turn()).text })
  await mcp[Symbol.asyncDispose]()
  await mesh.advance(60_000)
  expect(await alice.status(id)).toMatchObject({ recipients: [{ rung: 'received' }] })
})

test('few turns are under way at once; what comes meanwhile waits and goes as one', async () => {
  await using stack = new AsyncDisposableStack()
  const { mesh, alice, bob, mcp, inbox } = await desk(stack)
  await mcp.call('hook_event', { event: 'UserPromptSubmit', prompt: 'a long task' })
  const under: string[] = []
  for (let i = 0; i < 4; i++) {
    await alice.send({ to: 'Bob', message: `early ${i}` })
    under.push((await inbox.turn()).text)
  }
  for (let i = 0; i < 30; i++) await alice.send({ to: 'Bob', message: `late ${i}` })
  for (let i = 0; i < 34; i++) await next(bob, 'message')
  await mesh.advance(30_000)
  expect(inbox.turns).toEqual([])
  await mcp.call('hook_event', { event: 'UserPromptSubmit', prompt: under[0] })
  expect(count((await inbox.turn()).text)).toBe(30)
})

test('an idle session that does not show a turn has lost it: it is posted again', async () => {
  await using stack = new AsyncDisposableStack()
  const { mesh, alice, inbox } = await desk(stack)
  await alice.send({ to: 'Bob', message: 'lost on the way' })
  await inbox.turn()
  await mesh.advance(6000)
  expect((await inbox.turn()).text).toContain('lost on the way')
})

test('a working session may take its time', async () => {
  await using stack = new AsyncDisposableStack()
  const { mesh, alice, mcp, inbox } = await desk(stack)
  await mcp.call('hook_event', { event: 'UserPromptSubmit', prompt: 'a long task' })
  await alice.send({ to: 'Bob', message: 'no hurry' })
  await inbox.turn()
  await mesh.advance(600_000)
  expect(inbox.turns).toEqual([])
})

test('what the socket lost goes with the next hook’s answer, is surfaced by the hook after that, and is kept from the model when it comes late', async () => {
  await using stack = new AsyncDisposableStack()
  const { mesh, alice, bob, mcp, inbox } = await desk(stack)
  const { id } = await alice.send({ to: 'Bob', message: 'twice?' })
  const { text } = await inbox.turn()
  await inbox.refuse()
  await mesh.advance(6000)
  await untilWaiting(bob, 1)
  const answer = JSON.parse((await mcp.call('hook_event', { event: 'PostToolUse' })).text) as Context
  expect(answer.hookSpecificOutput).toMatchObject({ hookEventName: 'PostToolUse', additionalContext: expect.stringContaining('twice?') })
  expect(seen(bob, 'surfaced')).toEqual([])
  expect((await mcp.call('hook_event', { event: 'PreToolUse' })).text).toBe('{}')
  expect(await next(bob, 'surfaced')).toEqual([id])
  const late = JSON.parse((await mcp.call('hook_event', { event: 'UserPromptSubmit', prompt: text })).text) as object
  expect(late).toMatchObject({ decision: 'block' })
  // What the user quotes is the user's.
  expect((await mcp.call('hook_event', { event: 'UserPromptSubmit', prompt: `what is this? ${text}` })).text).toBe('{}')
})

test('without an inbox hooks carry the messages, as much as they may, and low priority does not prolong a turn', async () => {
  await using mesh = await testMesh()
  const bob = await mesh.peer('Bob')
  const alice = await mesh.peer('Alice')
  await using mcp = await McpClient.start({ mesh: Promise.resolve(bob), clock: mesh.clock })
  await mcp.call('check_messages')
  for (let i = 0; i < 8; i++) await alice.send({ to: 'Bob', message: `${i} ${'word '.repeat(400)}` })
  await alice.send({ to: 'Bob', message: 'by the way', priority: 'low' })
  for (let i = 0; i < 9; i++) await next(bob, 'message')
  const texts: string[] = []
  for (;;) {
    const { text } = await mcp.call('hook_event', { event: 'Stop' })
    if (text === '{}') break
    texts.push((JSON.parse(text) as Context).hookSpecificOutput.additionalContext)
  }
  for (const text of texts) expect(text.length).toBeLessThan(10_000)
  expect(texts.join('').match(/^\d word/gm)).toHaveLength(8)
  expect(bob.inbox.peek().map((message) => message.text)).toEqual(['by the way'])
  expect((await mcp.call('hook_event', { event: 'UserPromptSubmit', prompt: 'go on' })).text).toContain('by the way')
})

interface Context {
  readonly hookSpecificOutput: { readonly hookEventName: string; readonly additionalContext: string }
}

describe('a server that follows one that was killed', () => {
  /** The second server of a session, whose first one posted the message and heard no more. */
  async function second(stack: AsyncDisposableStack, transcript: (id: string) => object[]) {
    const mesh = stack.use(await testMesh())
    const inbox = stack.use(await SessionInbox.open())
    const folder = await mkdtemp(join(tmpdir(), 'transcript-'))
    stack.defer(() => rm(folder, { recursive: true }))
    const alice = await mesh.peer('Alice')
    const session = newSession()
    const before = await mesh.peer('Bob', { session })
    const { id } = await alice.send({ to: 'Bob', message: 'posted before the crash' })
    await next(before, 'message')
    await before.close()
    const path = join(folder, 'transcript.jsonl')
    const lines = transcript(id).map((line) => JSON.stringify(line))
    await writeFile(path, `${lines.join('\n')}\n`)
    const bob = await mesh.peer('Bob', { identity: before.identity, session: { ...session, incarnation: 2 } })
    const entries: object[] = []
    const ledger = { offered: [id], transcript: path, record: (entry: object) => void entries.push(entry) }
    const mcp = stack.use(await McpClient.start({ mesh: Promise.resolve(bob), clock: mesh.clock, inbox, ledger: () => ledger }))
    await mcp.call('list_peers')
    return { mesh, alice, bob, inbox, mcp, id, entries }
  }
  const frame = (id: string) => `<peer-message from="Alice" id="${id}" nonce="x">`

  test('finds in the transcript that it was shown, and does not show it again', async () => {
    await using stack = new AsyncDisposableStack()
    const { alice, mesh, inbox, id, mcp } = await second(stack, (shown) => [{ type: 'user', message: { role: 'user', content: frame(shown) } }])
    expect(await next(alice, 'delivery', ({ proven }) => proven === true)).toMatchObject({ id, rung: 'surfaced' })
    await mesh.advance(60_000)
    expect(inbox.turns).toEqual([])
    expect((await mcp.call('check_messages')).text).toBe('No messages wait.')
  })

  test('posts it again when the session is idle and its transcript knows nothing of it but quotes', async () => {
    await using stack = new AsyncDisposableStack()
    const { mesh, inbox, entries, id } = await second(stack, (quoted) => [
      { type: 'assistant', message: { content: frame(quoted) } },
      { type: 'user', message: { content: [{ type: 'tool_result', content: frame(quoted) }] } },
      { type: 'queue-operation', operation: 'enqueue', content: frame(quoted) },
      { type: 'queue-operation', operation: 'remove', content: frame(quoted) },
    ])
    expect(inbox.turns).toEqual([])
    while (inbox.turns.length === 0) await mesh.advance(5000)
    expect((await inbox.turn()).text).toContain('posted before the crash')
    expect(entries).toContainEqual({ withdrawn: [id] })
    expect(entries).toContainEqual({ offered: [id] })
  })

  test('waits as long as it stands in the session’s own queue', async () => {
    await using stack = new AsyncDisposableStack()
    const { mesh, inbox } = await second(stack, (queued) => [{ type: 'queue-operation', operation: 'enqueue', content: frame(queued) }])
    await mesh.advance(10_000)
    expect(inbox.turns).toEqual([])
  })
})
