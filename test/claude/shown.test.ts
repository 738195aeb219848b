import { execFileSync } from 'node:child_process'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import type { Mesh } from '@claudemesh/client'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Headless } from './harness/headless.ts'
import { textOf } from './harness/messages-api.ts'
import { hears, present, World } from './harness/world.ts'

let world: World
let ann: Mesh
beforeAll(async () => {
  world = await World.start()
  ann = await world.peer('Ann')
})
afterAll(() => world[Symbol.asyncDispose]())

/** How often a text stands before the model in the newest state of the conversation. */
function times(session: string, text: string): number {
  const request = world.api.requests.findLast((one) => one.session === session && one.body.tools?.length)
  const shown = request?.body.messages.map(textOf).join('\n') ?? ''
  return shown.split(text).length - 1
}

const settings = (value: object) => ['--settings', JSON.stringify(value)]

test('where no hook calls, the transcript tells what was shown: each message stands there once, and is proven', async () => {
  const bob = world.own(new Headless(world, 'bob', { launch: ['--name', 'Bob'], claude: settings({ disableAllHooks: true }) }))
  await present(ann, 'Bob')
  await bob.turn('[[say here]]')
  for (const message of ['the first word', 'the second word']) {
    const { id } = await ann.send({ to: 'Bob', message })
    await hears(ann, 'proven', id)
  }
  await bob.turn('[[say done]]')
  expect(times('bob', 'the first word')).toBe(1)
  expect(times('bob', 'the second word')).toBe(1)
})

test('what a hook of the user keeps from the model is not called surfaced: its sender hears that it is held, and check_messages has it', async () => {
  const command = 'grep -q contraband && exit 2; exit 0'
  const hooks = { UserPromptSubmit: [{ hooks: [{ type: 'command', command }] }] }
  const cal = world.own(new Headless(world, 'cal', { launch: ['--name', 'Cal'], claude: settings({ hooks }) }))
  await present(ann, 'Cal')
  await cal.turn('[[say here]]')
  const { id } = await ann.send({ to: 'Cal', message: 'some contraband' })
  await hears(ann, 'held', id)
  expect(await ann.status(id)).toMatchObject({ recipients: [{ rung: 'received', held: true }] })
  expect(times('cal', 'contraband')).toBe(0)
  const read = hears(ann, 'proven', id)
  const answers = await cal.turn('[[call mcp__plugin_claudemesh_mesh__check_messages {}]] [[say done]]')
  expect(answers.join('\n')).toContain('some contraband')
  await read
})

test('what comes while a subagent works is put before the session’s own model, not before the subagent', async () => {
  const fifo = join(world.project, 'gate')
  execFileSync('mkfifo', [fifo])
  // Without an inbox hooks carry what comes, and those of a subagent's tools are the next to call.
  const dan = world.own(
    new Headless(world, 'dan', { launch: ['--name', 'Dan'], env: { CLAUDE_CODE_HARBOR_KITE: '0' }, claude: ['--allowedTools', 'Bash,Agent'] }),
  )
  await present(ann, 'Dan')
  await dan.turn('[[say here]]')
  const work = {
    description: 'sub',
    prompt: `[[call Bash ${JSON.stringify({ command: `cat ${fifo}` })}]]`,
    subagent_type: 'general-purpose',
    run_in_background: false,
  }
  const ended = dan.turn(`delegate [[call Agent ${JSON.stringify(work)}]] [[call Bash {"command":"true"}]] [[say done]]`)
  const gate = await open(fifo, 'w')
  const received = new Promise<void>((resolve) => ann.on('delivery', ({ rung }) => rung === 'received' && resolve()))
  const { id } = await ann.send({ to: 'Dan', message: 'for your own model' })
  await received
  const read = hears(ann, 'proven', id)
  await gate.close()
  await ended
  await read
  const carried = world.api.requests.filter((one) => one.session === 'dan' && one.text.includes('for your own model'))
  expect(carried.filter((one) => !one.text.includes('delegate'))).toEqual([])
  expect(carried.length).toBeGreaterThan(0)
})
