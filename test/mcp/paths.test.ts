import { once } from 'node:events'
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text as all } from 'node:stream/consumers'
import { Rewake } from '@claudemesh/mcp'
import { describe, expect, test } from 'vitest'
import { change, next } from '../harness/events.ts'
import { McpClient, SessionInbox } from '../harness/mcp.ts'
import { testMesh } from '../harness/mesh.ts'

interface Ways {
  readonly inbox?: boolean
  readonly channel?: boolean
  readonly rewake?: boolean
}

/** Bob's session can be reached in these ways; Alice writes to him. */
async function desk(stack: AsyncDisposableStack, ways: Ways) {
  const mesh = stack.use(await testMesh())
  const folder = await mkdtemp(join(tmpdir(), 'wake-'))
  stack.defer(() => rm(folder, { recursive: true }))
  const socket = join(folder, 'wake.sock')
  const inbox = ways.inbox ? stack.use(await SessionInbox.open()) : undefined
  const rewake = ways.rewake ? stack.use(await Rewake.listen(socket)) : undefined
  const bob = await mesh.peer('Bob')
  const alice = await mesh.peer('Alice')
  const registry = join(folder, '1.json')
  const options = { registry, ...(inbox ? { inbox } : {}), ...(rewake ? { rewake } : {}), ...(ways.channel ? { channel: true } : {}) }
  const mcp = stack.use(await McpClient.start({ mesh: Promise.resolve(bob), clock: mesh.clock, ...options }))
  await mcp.initialize()
  await mcp.call('check_messages')
  /** A hook process begins to wait. */
  const arm = async (): Promise<Socket> => {
    const hook = connect(socket)
    await once(hook, 'connect')
    stack.defer(() => void hook.destroy())
    return hook
  }
  const channel = async () => (await mcp.notification('notifications/claude/channel')) as { content: string; meta: { from: string } }
  const hook = async (event: string, prompt?: string) => (await mcp.call('hook_event', { event, ...(prompt === undefined ? {} : { prompt }) })).text
  const send = (message: string) => alice.send({ to: 'Bob', message })
  return { mesh, alice, bob, mcp, inbox, arm, channel, hook, send, socket, registry }
}

/** What a hook that waits is told: a turn, or nothing. */
const text = async (hook: Socket) => (JSON.parse((await all(hook)) || '{}') as { wake?: string }).wake ?? ''

const asChannel = (content: string) => `<channel source="plugin:claudemesh:mesh" from="mesh:Alice">\n${content}\n</channel>`
const asRewake = (content: string) =>
  `<task-notification>\n<summary>Stop hook feedback</summary>\n</task-notification>\n<system-reminder>\nStop hook blocking error from command "Stop": ${content}\n</system-reminder>`

describe('channels', () => {
  test('carry a message where the user asked for them; the hook that sees it is the proof', async () => {
    await using stack = new AsyncDisposableStack()
    const { alice, hook, channel, send } = await desk(stack, { channel: true })
    const { id } = await send('by channel')
    const { content, meta } = await channel()
    expect(content).toMatch(/^<peer-message from="Alice" [^]*by channel/)
    expect(meta).toEqual({ from: 'mesh:Alice' })
    expect(await hook('UserPromptSubmit', asChannel(content))).toBe('{}')
    await hook('PreToolUse')
    expect(await next(alice, 'delivery', ({ proven }) => proven === true)).toMatchObject({ id, rung: 'surfaced' })
  })

  test('that are not live are left after one message, which goes by the next path, and is kept from the model when it comes late', async () => {
    await using stack = new AsyncDisposableStack()
    const { mesh, hook, channel, arm, send, mcp } = await desk(stack, { channel: true, rewake: true })
    const waiting = await arm()
    const woken = text(waiting)
    await send('into the void')
    const { content } = await channel()
    await mesh.advance(6000)
    expect(await woken).toContain('into the void')
    await hook('UserPromptSubmit', asRewake(await woken))
    await hook('Stop')
    expect(JSON.parse(await hook('UserPromptSubmit', asChannel(content)))).toMatchObject({ decision: 'block' })
    await hook('Stop')
    const again = text(await arm())
    await send('the next one')
    expect(await again).toContain('the next one')
    expect(mcp.notifications('notifications/claude/channel')).toEqual([])
  })

  test('are not used while the inbox takes messages', async () => {
    await using stack = new AsyncDisposableStack()
    const { inbox, send, mcp } = await desk(stack, { inbox: true, channel: true, rewake: true })
    await send('by the inbox')
    expect((await inbox?.turn())?.text).toContain('by the inbox')
    expect(mcp.notifications('notifications/claude/channel')).toEqual([])
  })

  test('take over from an inbox that refuses, until that is tried again', async () => {
    await using stack = new AsyncDisposableStack()
    const { mesh, inbox, send, channel, hook } = await desk(stack, { inbox: true, channel: true })
    await inbox?.refuse()
    await send('first')
    const { content } = await channel()
    expect(content).toContain('first')
    await hook('UserPromptSubmit', asChannel(content))
    await hook('Stop')
    await inbox?.listen()
    await mesh.advance(15_000)
    await send('second')
    expect((await inbox?.turn())?.text).toContain('second')
  })
})

describe('a hook that waits', () => {
  test('wakes an idle session with what came, and the hook that sees it is the proof', async () => {
    await using stack = new AsyncDisposableStack()
    const { alice, hook, arm, send } = await desk(stack, { rewake: true })
    const woken = text(await arm())
    const { id } = await send('wake up')
    expect(await woken).toMatch(/^<peer-message from="Alice" [^]*wake up/)
    expect(await hook('UserPromptSubmit', asRewake(await woken))).toBe('{}')
    await hook('PreToolUse')
    expect(await next(alice, 'delivery', ({ proven }) => proven === true)).toMatchObject({ id, rung: 'surfaced' })
  })

  test('gets at once what came before it waited', async () => {
    await using stack = new AsyncDisposableStack()
    const { bob, arm, send } = await desk(stack, { rewake: true })
    await send('early')
    await next(bob, 'message')
    expect(await text(await arm())).toContain('early')
  })

  test('is left alone while the session works: its hooks carry what comes, and the end of the turn what is left', async () => {
    await using stack = new AsyncDisposableStack()
    const { bob, hook, arm, send } = await desk(stack, { rewake: true })
    const waiting = text(await arm())
    await hook('UserPromptSubmit', 'a long task')
    await send('between tools')
    await next(bob, 'message')
    expect(await hook('PostToolUse')).toContain('between tools')
    await send('at the end')
    await next(bob, 'message')
    expect(await hook('Stop')).toContain('at the end')
    expect(await hook('Stop')).toBe('{}')
    await send('when idle')
    expect(await waiting).not.toMatch(/between tools|at the end/)
    expect(await waiting).toContain('when idle')
  })

  test('makes way for a newer one', async () => {
    await using stack = new AsyncDisposableStack()
    const { arm, send } = await desk(stack, { rewake: true })
    const older = text(await arm())
    const newer = text(await arm())
    expect(await older).toBe('')
    await send('once')
    expect(await newer).toContain('once')
  })

  test('that died takes nothing with it', async () => {
    await using stack = new AsyncDisposableStack()
    const { bob, arm, send, mcp } = await desk(stack, { rewake: true })
    const waiting = await arm()
    waiting.destroy()
    await once(waiting, 'close')
    await send('safe')
    await next(bob, 'message')
    expect(await text(await arm())).toContain('safe')
    expect(mcp.notifications('notifications/claude/channel')).toEqual([])
  })

  test('waits at a socket that only its user can reach, and that goes with the server', async () => {
    await using stack = new AsyncDisposableStack()
    const { socket } = await desk(stack, { rewake: true })
    expect((await stat(socket)).mode & 0o777).toBe(0o600)
    await stack.disposeAsync()
    await expect(stat(socket)).rejects.toMatchObject({ code: 'ENOENT' })
  })
})

test('context that the session never took up, though it is idle, waits for the next way', async () => {
  await using stack = new AsyncDisposableStack()
  const { mesh, bob, hook, arm, send, registry } = await desk(stack, { rewake: true })
  await hook('UserPromptSubmit', 'a task')
  await send('ignored at the end')
  await next(bob, 'message')
  expect(await hook('Stop')).toContain('ignored at the end')
  // The session ended its turn all the same, of which no hook tells.
  await writeFile(registry, JSON.stringify({ status: 'idle', statusUpdatedAt: mesh.clock.now() + 1 }))
  while (bob.me.status !== 'idle') await change(bob, 'me')
  const woken = text(await arm())
  await mesh.advance(6000)
  expect(await woken).toContain('ignored at the end')
})
