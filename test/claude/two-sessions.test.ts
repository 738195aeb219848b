import type { Mesh } from '@claudemesh/client'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Headless } from './harness/headless.ts'
import { textOf, type ApiRequest } from './harness/messages-api.ts'
import { Terminal } from './harness/terminal.ts'
import { present, World } from './harness/world.ts'

const tool = (name: string) => `mcp__plugin_claudemesh_mesh__${name}`
const call = (name: string, input: unknown) => `[[call ${tool(name)} ${JSON.stringify(input)}]]`
const carries = (text: string) => (request: ApiRequest) => request.text.includes(text)
/** The frame around a peer's text, as the model read it. */
const framed = (request: ApiRequest, text: string) =>
  request.body.messages
    .map(textOf)
    .flatMap((turn) => turn.match(/<peer-message .*?<\/peer-message [^>]*>/gs) ?? [])
    .find((frame) => frame.includes(text))
const fromVerified = (name: string) => new RegExp(`^<peer-message (?=[^>]*from="${name}")(?=[^>]*verified="yes")`)
const idIn = (result: string | undefined) => /"(?:id|messageId)":\s*"([A-Za-z0-9_-]{22})"/.exec(result ?? '')?.[1] ?? ''

describe('Alice headless, Bob idle in a terminal, both started by claudemesh launch', () => {
  let world: World
  let alice: Headless
  let bob: Terminal
  let watcher: Mesh

  beforeAll(async () => {
    world = await World.start()
    watcher = await world.peer('Watcher')
    alice = world.own(new Headless(world, 'alice', { launch: ['--name', 'Alice', '--role', 'dev'] }))
    bob = world.own(new Terminal(world, 'bob', { launch: ['--name', 'Bob', '--groups', 'frontend:lead'] }))
    await present(watcher, 'Alice', 'Bob')
  })
  afterAll(() => world[Symbol.asyncDispose]())

  test('the model has the mesh’s tools from the first request, without asking for permission', async () => {
    const [peers] = await alice.turn(`who is there? ${call('list_peers', {})}`)
    expect(peers).toContain('Bob')
    expect(peers).toContain('frontend')
    const request = await world.api.until('alice', 'a request with tools', (one) => (one.body.tools?.length ?? 0) > 0)
    expect(request.body.tools?.map((one) => one.name)).toEqual(
      expect.arrayContaining(
        ['send_message', 'check_messages', 'message_status', 'list_peers', 'set_summary', 'set_status', 'join_group', 'leave_group'].map(tool),
      ),
    )
  })

  test.each([
    ['Bob', 'a direct word about the parser'],
    ['@frontend', 'a group word about the header'],
    ['*', 'a broadcast word about the release'],
  ])('her message to %s wakes him and reaches his model, framed, with its verified sender', async (to, text) => {
    const [sent] = await alice.turn(`tell them ${call('send_message', { to, message: text })}`)
    const id = idIn(sent)
    expect(id).not.toBe('')
    const woken = await world.api.until('bob', text, carries(text))
    const turn = woken.body.messages.map((one) => JSON.stringify(one.content)).find((content) => content.includes(text)) ?? ''
    expect(turn).toMatch(/<peer-message[^>]*from=\\\\?"Alice/)
    expect(turn).toMatch(/verified=\\\\?"yes/)
    expect(turn).toContain(id)
    const [status] = await alice.turn(`did it arrive? ${call('message_status', { id })}`)
    expect(status).toContain('Bob')
    expect(status).toMatch(/received|surfaced/)
  })

  test('he answers from his terminal, and she, idle without one, is woken by it', async () => {
    const answer = 'done, the parser is green again'
    await bob.type(`answer her ${call('send_message', { to: 'Alice', message: answer })}`)
    const woken = await world.api.until('alice', answer, carries(answer))
    expect(framed(woken, answer)).toMatch(fromVerified('Bob'))
  })

  test('what he broadcasts himself does not come back to him', async () => {
    const text = 'a broadcast of my own'
    await bob.type(`tell all ${call('send_message', { to: '*', message: text })}`)
    await world.api.until('alice', text, carries(text))
    const his = world.api.requests.filter((request) => request.session === 'bob')
    expect(his.some(carries(text))).toBe(true)
    expect(his.filter((request) => framed(request, text) !== undefined)).toEqual([])
  })

  test('claude’s own way to message sessions is told apart in the instructions', async () => {
    const request = await world.api.until('alice', 'the instructions', carries('You are one peer of a claudemesh'))
    expect(request.text).not.toContain('[truncated]')
  })
})
