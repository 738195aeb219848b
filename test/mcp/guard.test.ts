import { defaultBudget } from '@claudemesh/mcp'
import { describe, expect, test } from 'vitest'
import { next, seen } from '../harness/events.ts'
import { McpClient, SessionInbox } from '../harness/mcp.ts'
import { testMesh } from '../harness/mesh.ts'

const small = { ...defaultBudget, messages: 5, answers: 3, hops: 4, thread: 3 }

async function desk(stack: AsyncDisposableStack) {
  const mesh = stack.use(await testMesh())
  const inbox = stack.use(await SessionInbox.open())
  const bob = await mesh.peer('Bob')
  const alice = await mesh.peer('Alice')
  const mcp = stack.use(await McpClient.start({ mesh: Promise.resolve(bob), clock: mesh.clock, inbox, budget: () => small }))
  await mcp.call('list_peers')
  /** Bob's session takes the next turn up, has its model do something, and ends the turn with what the hook says to the user. */
  const takeTurn = async (meanwhile = async () => {}) => {
    const { text } = await inbox.turn()
    await mcp.call('hook_event', { event: 'UserPromptSubmit', prompt: text })
    await meanwhile()
    const stop = JSON.parse((await mcp.call('hook_event', { event: 'Stop' })).text) as { systemMessage?: string }
    return { text, toUser: stop.systemMessage }
  }
  return { mesh, alice, bob, mcp, inbox, takeTurn }
}

test('what a model sends in a turn that a peer began counts on from that peer’s message; a user’s word begins anew', async () => {
  await using stack = new AsyncDisposableStack()
  const { alice, mcp, takeTurn } = await desk(stack)
  const answer = async () => void (await mcp.call('send_message', { to: 'Alice', message: 'answer' }))
  await alice.send({ to: 'Bob', message: 'first' })
  await takeTurn(answer)
  expect((await next(alice, 'message')).hops).toBe(1)
  await alice.send({ to: 'Bob', message: 'third', hops: 2 })
  await takeTurn(answer)
  expect((await next(alice, 'message')).hops).toBe(3)
  await mcp.call('hook_event', { event: 'UserPromptSubmit', prompt: 'tell her yourself' })
  await answer()
  expect((await next(alice, 'message')).hops).toBe(0)
})

test('a chain that goes on without a user waits, and the user is told once', async () => {
  await using stack = new AsyncDisposableStack()
  const { mesh, alice, bob, mcp, inbox, takeTurn } = await desk(stack)
  await alice.send({ to: 'Bob', message: 'hop 4', hops: 4 })
  expect((await takeTurn()).toUser).toBeUndefined()
  await alice.send({ to: 'Bob', message: 'hop 5', hops: 5 })
  await next(bob, 'message', ({ text }) => text === 'hop 5')
  // Later ones stay behind it.
  await alice.send({ to: 'Bob', message: 'a user’s', hops: 0 })
  await next(bob, 'message', ({ text }) => text === 'a user’s')
  await mesh.advance(60_000)
  expect(inbox.turns).toEqual([])
  const told = JSON.parse((await mcp.call('hook_event', { event: 'PreToolUse' })).text) as object
  expect(told).toEqual({ systemMessage: expect.stringMatching(/Alice \(2\)\. Run `claudemesh continue`/) })
  expect((await mcp.call('hook_event', { event: 'PreToolUse' })).text).toBe('{}')
  mcp.handle?.release()
  const { text } = await inbox.turn()
  expect(text).toMatch(/hop 5[^]*a user’s/)
  // The chain has a whole budget again.
  await alice.send({ to: 'Bob', message: 'hop 9', hops: 9 })
  expect((await inbox.turn()).text).toContain('hop 9')
})

test.each([
  ['answers within the window', 3, 1],
  ['messages within the window, whoever caused them', 5, 0],
])('%s are as many as the budget says; the rest waits', async (_, allowed, hops) => {
  await using stack = new AsyncDisposableStack()
  const { mesh, alice, bob, mcp, inbox, takeTurn } = await desk(stack)
  for (let i = 0; i < allowed; i++) {
    await alice.send({ to: 'Bob', message: `within ${i}`, hops })
    await takeTurn()
  }
  await alice.send({ to: 'Bob', message: 'one more', hops })
  await next(bob, 'message', ({ text }) => text === 'one more')
  await mesh.advance(30_000)
  expect(inbox.turns).toEqual([])
  // Who asks for it reads it.
  expect((await mcp.call('check_messages')).text).toContain('one more')
})

test('who keeps to the budget is never held, however long it goes on', async () => {
  await using stack = new AsyncDisposableStack()
  const { mesh, alice, takeTurn } = await desk(stack)
  for (let i = 0; i < 9; i++) {
    await alice.send({ to: 'Bob', message: `slow ${i}`, hops: 1 })
    expect((await takeTurn()).text).toContain(`slow ${i}`)
    await mesh.advance(300_000)
  }
})

test('another peer is not held for it', async () => {
  await using stack = new AsyncDisposableStack()
  const { mesh, alice, inbox } = await desk(stack)
  const carol = await mesh.peer('Carol')
  await alice.send({ to: 'Bob', message: 'looping', hops: 99 })
  await carol.send({ to: 'Bob', message: 'hello' })
  const { text } = await inbox.turn()
  expect(text).toContain('hello')
  expect(text).not.toContain('looping')
})

test('the sender of a held message is told that it waits, sealed', async () => {
  await using stack = new AsyncDisposableStack()
  const { alice } = await desk(stack)
  const { id } = await alice.send({ to: 'Bob', message: 'looping', hops: 99 })
  expect(await next(alice, 'delivery', ({ held }) => held === true)).toMatchObject({ id, name: 'Bob', rung: 'received' })
  expect(await alice.status(id)).toMatchObject({ recipients: [{ rung: 'received', held: true }] })
})

test('who meets do-not-disturb is told after half an hour, once', async () => {
  await using stack = new AsyncDisposableStack()
  const { mesh, alice, bob, mcp } = await desk(stack)
  await mcp.call('set_status', { status: 'dnd' })
  const { id } = await alice.send({ to: 'Bob', message: 'when you can' })
  await next(bob, 'message')
  await mesh.advance(25 * 60_000)
  expect(seen(alice, 'delivery').filter(({ held }) => held)).toEqual([])
  await mesh.advance(7 * 60_000)
  expect(await next(alice, 'delivery', ({ held }) => held === true)).toMatchObject({ id, rung: 'received' })
  await mesh.advance(5 * 60_000)
  expect(seen(alice, 'delivery').filter(({ held }) => held)).toEqual([])
  expect((await mcp.call('check_messages')).text).toContain('when you can')
  expect(await next(alice, 'delivery', ({ proven }) => proven === true)).toMatchObject({ id, rung: 'surfaced' })
})

describe('a thread of several peers, each within its own budget', () => {
  /** Bob writes to two peers, who go on answering in turns because of messages. */
  async function thread(stack: AsyncDisposableStack) {
    const there = await desk(stack)
    const carol = await there.mesh.peer('Carol')
    await there.mcp.call('hook_event', { event: 'UserPromptSubmit', prompt: 'ask them' })
    await there.mcp.call('send_message', { to: ['Alice', 'Carol'], message: 'what do you think?' })
    await there.mcp.call('hook_event', { event: 'Stop' })
    const re = (await next(there.alice, 'message')).id
    await next(carol, 'message')
    return { ...there, carol, re }
  }

  test.each([
    ['each names what it answers', true],
    ['none names what it answers', false],
  ])('%s: over the thread’s budget all of it waits, the user hears whose, the senders that they wait, and another thread goes on', async (_, names) => {
    await using stack = new AsyncDisposableStack()
    const { mesh, alice, carol, mcp, inbox, takeTurn, re } = await thread(stack)
    let last = re
    const answer = async (peer: typeof alice, message: string) => {
      const { id } = await peer.send({ to: 'Bob', message, hops: 1, ...(names ? { re: last } : {}) })
      last = id
      return id
    }
    for (const [i, peer] of [alice, carol, alice].entries()) {
      await answer(peer, `view ${i}`)
      await takeTurn()
    }
    const id = await answer(carol, 'one view more')
    expect(await next(carol, 'delivery', ({ held }) => held === true)).toMatchObject({ id, rung: 'received' })
    await mesh.advance(30_000)
    expect(inbox.turns).toEqual([])
    const told = JSON.parse((await mcp.call('hook_event', { event: 'PreToolUse' })).text) as object
    expect(told).toEqual({ systemMessage: expect.stringMatching(/Alice, Carol \(1\)\. Run `claudemesh continue`/) })
    await carol.send({ to: 'Bob', message: 'of something else' })
    const { text } = await takeTurn()
    expect(text).toContain('of something else')
    expect(text).not.toContain('one view more')
    mcp.handle?.release()
    expect((await inbox.turn()).text).toContain('one view more')
  })

  test('what the user has a word in does not count', async () => {
    await using stack = new AsyncDisposableStack()
    const { alice, carol, takeTurn, re } = await thread(stack)
    for (const [i, peer] of [alice, carol, alice, carol].entries()) {
      await peer.send({ to: 'Bob', message: `by hand ${i}`, re })
      expect((await takeTurn()).text).toContain(`by hand ${i}`)
    }
  })

  test('what is said in a turn that a message began continues its thread, also to somebody else', async () => {
    await using stack = new AsyncDisposableStack()
    const { alice, carol, mcp, inbox, takeTurn, mesh, re } = await thread(stack)
    const dora = await mesh.peer('Dora')
    await alice.send({ to: 'Bob', message: 'ask Dora', hops: 1, re })
    await takeTurn(async () => void (await mcp.call('send_message', { to: 'Dora', message: 'and you?' })))
    const asked = (await next(dora, 'message')).id
    await carol.send({ to: 'Bob', message: 'second', hops: 1, re })
    await takeTurn()
    await dora.send({ to: 'Bob', message: 'third', hops: 2, re: asked })
    await takeTurn()
    const { id } = await dora.send({ to: 'Bob', message: 'fourth', hops: 2, re: asked })
    expect(await next(dora, 'delivery', ({ held }) => held === true)).toMatchObject({ id })
    expect(inbox.turns).toEqual([])
  })
})
