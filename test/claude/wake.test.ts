import type { Mesh } from '@claudemesh/client'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Headless } from './harness/headless.ts'
import { Terminal } from './harness/terminal.ts'
import { hears, present, World } from './harness/world.ts'

let world: World
let ann: Mesh
beforeAll(async () => {
  world = await World.start()
  ann = await world.peer('Ann')
})
afterAll(() => world[Symbol.asyncDispose]())

/** Sends it and waits for the proof; then how often it stands in what the model was shown. */
async function deliver(to: string, session: string, message: string): Promise<number> {
  const { id } = await ann.send({ to, message })
  await hears(ann, 'proven', id)
  const request = await world.api.until(session, message, (one) => one.text.includes(message))
  return JSON.stringify(request.body.messages).split(message).length - 1
}

interface Session {
  name?: string
  hook?: { event: string }
  paths: { path: string; state: string }[]
}
const sessionOf = (name: string) => {
  const { sessions } = JSON.parse(world.claudemesh('status', '--json')) as { sessions: Session[] }
  return sessions.find((one) => one.name === name)
}

test('without an inbox a hook that waits wakes an idle session, again and again, once per message', async () => {
  const bob = world.own(new Terminal(world, 'bob', { launch: ['--name', 'Bob'], env: { CLAUDE_CODE_HARBOR_KITE: '0' } }))
  await present(ann, 'Bob')
  await bob.type('the user goes first [[say go on]]')
  await world.api.until('bob', 'the prompt of the user', (one) => one.text.includes('the user goes first'))
  for (const text of ['the first word', 'the second word', 'the third word']) expect(await deliver('Bob', 'bob', text)).toBe(1)
  expect(sessionOf('Bob')?.paths).toEqual([
    { path: 'socket', state: 'untried' },
    { path: 'rewake', state: 'works', at: expect.any(Number) },
  ])
})

test('channels that were asked for but are not live cost one message some seconds, and never a second showing', async () => {
  const claude = ['--dangerously-load-development-channels', 'plugin:claudemesh@inline']
  const cal = world.own(new Headless(world, 'cal', { launch: ['--name', 'Cal'], claude, env: { CLAUDE_CODE_HARBOR_KITE: '0' } }))
  await present(ann, 'Cal')
  await cal.turn('[[say here]]')
  expect(await deliver('Cal', 'cal', 'into the channel')).toBe(1)
  expect(await deliver('Cal', 'cal', 'by the next way')).toBe(1)
  expect(sessionOf('Cal')?.paths.map(({ path, state }) => [path, state])).toEqual([
    ['socket', 'untried'],
    ['channel', 'fails'],
    ['rewake', 'works'],
  ])
})

test('an inbox that is withheld from MCP servers is found all the same', async () => {
  const dan = world.own(new Headless(world, 'dan', { launch: ['--name', 'Dan'], env: { CLAUDE_CODE_MCP_ALLOWLIST_ENV: '1' } }))
  await present(ann, 'Dan')
  await dan.turn('[[say here]]')
  expect(await deliver('Dan', 'dan', 'behind the curtain')).toBe(1)
  expect(sessionOf('Dan')).toMatchObject({ hook: { event: expect.any(String) }, paths: [{ path: 'socket', state: 'works' }] })
})
