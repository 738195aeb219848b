import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { change, next } from '../harness/events.ts'
import type { Vitals } from '@claudemesh/mcp'
import { McpClient, SessionInbox } from '../harness/mcp.ts'
import { testMesh } from '../harness/mesh.ts'

/** Alice's session with a registry file that the test writes, as Claude Code does. */
async function desk(stack: AsyncDisposableStack, folder = 'there') {
  const mesh = stack.use(await testMesh())
  const parent = await mkdtemp(join(tmpdir(), 'registry-'))
  stack.defer(() => rm(parent, { recursive: true }))
  const registry = folder === 'there' ? join(parent, '1.json') : join(parent, folder, '1.json')
  const alice = await mesh.peer('Alice')
  const mcp = stack.use(await McpClient.start({ mesh: Promise.resolve(alice), clock: mesh.clock, registry }))
  const hook = (event: string) => mcp.call('hook_event', { event })
  const tell = async (status: string, at = mesh.clock.now() + 1) => {
    await writeFile(`${registry}.tmp`, JSON.stringify({ status, statusUpdatedAt: at }))
    await rename(`${registry}.tmp`, registry)
  }
  const becomes = async (status: string) => {
    while (alice.me.status !== status) await change(alice, 'me')
  }
  return { mesh, alice, hook, tell, becomes, registry }
}

test('an interrupted turn, of which no hook tells, does not leave the session working', async () => {
  await using stack = new AsyncDisposableStack()
  const { alice, hook, tell, becomes } = await desk(stack)
  await hook('UserPromptSubmit')
  expect(alice.me.status).toBe('working')
  await tell('idle')
  await becomes('idle')
})

test('an open permission dialog is shown as waiting, and its end as working', async () => {
  await using stack = new AsyncDisposableStack()
  const { hook, tell, becomes, mesh } = await desk(stack)
  await hook('PreToolUse')
  await tell('waiting')
  await becomes('waiting')
  mesh.clock.advance(1)
  await tell('busy')
  await becomes('working')
})

test('what the file said before the last hook does not count', async () => {
  await using stack = new AsyncDisposableStack()
  const { mesh, alice, hook, tell, becomes } = await desk(stack)
  await tell('idle', mesh.clock.now() - 1000)
  await hook('UserPromptSubmit')
  await tell('idle', mesh.clock.now())
  await mesh.advance(10_000)
  expect(alice.me.status).toBe('working')
  await tell('waiting')
  await becomes('waiting')
})

test('do not disturb stays', async () => {
  await using stack = new AsyncDisposableStack()
  const { alice, hook, tell, mesh, becomes } = await desk(stack)
  await hook('UserPromptSubmit')
  await alice.setStatus('dnd')
  await tell('waiting')
  await mesh.advance(10_000)
  expect(alice.me.status).toBe('dnd')
  await alice.setStatus('working')
  mesh.clock.advance(1)
  await tell('idle')
  await becomes('idle')
})

test('where the folder cannot be watched, or the file read, hooks alone count', async () => {
  await using stack = new AsyncDisposableStack()
  const { mesh, alice, hook } = await desk(stack, 'absent')
  await hook('UserPromptSubmit')
  await mesh.advance(10_000)
  expect(alice.me.status).toBe('working')
  await hook('Stop')
  expect(alice.me.status).toBe('idle')
  expect(await next(alice, 'me', ({ status }) => status === 'working')).toBeDefined()
})

test('a hook is never kept waiting by a mesh that is away; what it told counts when the mesh is there', async () => {
  await using mesh = await testMesh()
  const alice = await mesh.peer('Alice')
  const { promise, resolve: arrive } = Promise.withResolvers<typeof alice>()
  await using mcp = await McpClient.start({ mesh: promise, clock: mesh.clock })
  expect((await mcp.call('hook_event', { event: 'UserPromptSubmit', prompt: 'work' })).text).toBe('{}')
  arrive(alice)
  await next(alice, 'me', ({ status }) => status === 'working')
})

test('a session tells how it fares: the last hook, the ways into it, what waits', async () => {
  await using mesh = await testMesh()
  await using inbox = await SessionInbox.open()
  const alice = await mesh.peer('Alice')
  const bob = await mesh.peer('Bob')
  const told: Vitals[] = []
  await using mcp = await McpClient.start({ mesh: Promise.resolve(bob), clock: mesh.clock, inbox, vitals: (vitals) => void told.push(vitals) })
  await mcp.call('list_peers')
  expect(told.at(-1)).toEqual({ name: 'Bob', paths: [{ path: 'socket', state: 'untried' }], waiting: 0 })
  await alice.send({ to: 'Bob', message: 'hello' })
  await mcp.call('hook_event', { event: 'UserPromptSubmit', prompt: (await inbox.turn()).text })
  expect(told.at(-1)).toMatchObject({ hook: { event: 'UserPromptSubmit' }, paths: [{ path: 'socket', state: 'works' }], waiting: 0 })
  const before = told.length
  for (let i = 0; i < 20; i++) await mcp.call('hook_event', { event: 'PreToolUse' })
  expect(told.length).toBe(before)
  mesh.clock.advance(1000)
  expect(told.slice(before)).toMatchObject([{ hook: { event: 'PreToolUse' } }])
})
