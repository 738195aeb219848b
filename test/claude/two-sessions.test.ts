import { execFileSync } from 'node:child_process'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import type { Mesh } from '@claudemesh/client'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Headless } from './harness/headless.ts'
import type { ApiRequest } from './harness/messages-api.ts'
import { Terminal } from './harness/terminal.ts'
import { present, World } from './harness/world.ts'

const tool = (name: string) => `mcp__plugin_claudemesh_mesh__${name}`
const call = (name: string, input: unknown) => `[[call ${tool(name)} ${JSON.stringify(input)}]]`
const carries = (text: string) => (request: ApiRequest) => request.text.includes(text)
const idIn = (result: string | undefined) => /"(?:id|messageId)":\s*"([A-Za-z0-9_-]{22})"/.exec(result ?? '')?.[1] ?? ''

describe('Alice headless, Bob idle in a terminal, both started by claudemesh launch', () => {
  let world: World
  let alice: Headless
  let watcher: Mesh

  beforeAll(async () => {
    world = await World.start()
    watcher = await world.peer('Watcher')
    alice = world.own(new Headless(world, 'alice', { launch: ['--name', 'Alice', '--role', 'dev'] }))
    world.own(new Terminal(world, 'bob', { launch: ['--name', 'Bob', '--groups', 'frontend:lead'] }))
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
})

describe('Bob in the middle of a turn', () => {
  test('a message that comes while his tool runs reaches his model before the turn ends', async () => {
    await using world = await World.start()
    const bob = world.own(new Headless(world, 'bob', { launch: ['--name', 'Bob'], claude: ['--allowedTools', 'Bash'] }))
    const watcher = await world.peer('Watcher')
    await present(watcher, 'Bob')
    const fifo = join(world.project, 'gate')
    execFileSync('mkfifo', [fifo])
    const step = `[[call Bash {"command":"true"}]]`
    bob.say(`wait at the gate [[call Bash {"command":"cat ${fifo}"}]] ${step} ${step} ${step} [[say done]]`)
    // Opening for writing succeeds when the other end reads: his tool runs now.
    const gate = await open(fifo, 'w')
    const text = 'stop, the schema has changed'
    world.claudemesh('send', 'Bob', text, '--name', 'Dora', '--wait', 'received')
    expect(bob.turns).toBe(0)
    await gate.close()
    const request = await world.api.until('bob', text, carries(text))
    expect(bob.turns).toBe(0)
    expect(request.text).toContain('Dora')
    await bob.until('the end of the turn', () => bob.turns > 0)
    expect(await bob.end()).toBe(0)
  })
})
