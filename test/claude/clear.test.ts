import { afterAll, beforeAll, expect, test } from 'vitest'
import { Terminal } from './harness/terminal.ts'
import { present, World } from './harness/world.ts'

let world: World
beforeAll(async () => void (world = await World.start()))
afterAll(() => world[Symbol.asyncDispose]())

test('after /clear the model is told again who it is, and messages still reach it', async () => {
  const watcher = await world.peer('Watcher')
  const bob = world.own(new Terminal(world, 'bob', { launch: ['--name', 'Bob', '--groups', 'frontend:lead'] }))
  await present(watcher, 'Bob')
  const card = /you are Bob, status \w+, in @frontend:lead/
  await bob.type('hello [[say first]]')
  const before = await world.api.until('bob', 'the first prompt', (request) => request.text.includes('[[say first]]'))
  expect(before.text).not.toMatch(card)
  await bob.type('/clear')
  await bob.type('hello again [[say second]]')
  const after = await world.api.until('bob', 'the second prompt', (request) => request.text.includes('[[say second]]'))
  expect(after.text).not.toContain('[[say first]]')
  expect(after.text).toMatch(card)
  await watcher.send({ to: 'Bob', message: 'still there?' })
  await world.api.until('bob', 'a message after it', (request) => request.text.includes('still there?'))
})
