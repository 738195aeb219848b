import { randomUUID } from 'node:crypto'
import type { Mesh } from '@claudemesh/client'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Headless } from './harness/headless.ts'
import { Terminal } from './harness/terminal.ts'
import { present, World } from './harness/world.ts'

let world: World
let watcher: Mesh
beforeAll(async () => {
  world = await World.start()
  watcher = await world.peer('Watcher')
})
afterAll(() => world[Symbol.asyncDispose]())

const card = /you are Bob, status \w+, in @frontend:lead/

test('after /compact the model is told again who it is, and messages still reach it', async () => {
  const bob = world.own(new Terminal(world, 'bob', { launch: ['--name', 'Bob', '--groups', 'frontend:lead'] }))
  await present(watcher, 'Bob')
  await bob.type('hello [[say first]]')
  await world.api.until('bob', 'the first prompt', (request) => request.text.includes('[[say first]]'))
  await bob.shows((screen) => screen.includes('first'))
  await bob.type('/compact')
  await bob.shows((screen) => /compacted/i.test(screen))
  await bob.type('hello again [[say second]]')
  const after = await world.api.until('bob', 'the second prompt', (request) => request.text.includes('[[say second]]'))
  expect(after.text).toMatch(card)
  await watcher.send({ to: 'Bob', message: 'still there?' })
  await world.api.until('bob', 'a message after it', (request) => request.text.includes('still there?'))
})

test('a session that is resumed is told who it now is from its first prompt on, and messages reach it', async () => {
  const id = randomUUID()
  const first = new Headless(world, 'carl', { launch: ['--name', 'Before'], claude: ['--session-id', id] })
  await first.turn('remember the word quince [[say noted]]')
  await first.end()
  const bob = world.own(new Headless(world, 'carl', { launch: ['--name', 'Bob', '--groups', 'frontend:lead'], claude: ['--resume', id] }))
  await bob.turn('go on [[say yes]]')
  const request = await world.api.until('carl', 'the prompt after it', (one) => one.text.includes('go on [[say yes]]'))
  expect(request.text).toContain('quince')
  expect(request.text).toMatch(card)
  const peer = watcher.peers().find((one) => one.name === 'Bob' && one.connected && one.groups.some((group) => group.name === 'frontend'))
  await watcher.send({ to: '@frontend', message: 'welcome back' })
  await world.api.until('carl', 'a message to it', (one) => one.text.includes('welcome back'))
  expect(peer).toBeDefined()
})
