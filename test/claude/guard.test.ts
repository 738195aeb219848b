import type { Mesh } from '@claudemesh/client'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Headless } from './harness/headless.ts'
import { Terminal } from './harness/terminal.ts'
import { present, World } from './harness/world.ts'

let world: World
let bob: Headless
let ann: Mesh
beforeAll(async () => {
  world = await World.start()
  bob = world.own(new Headless(world, 'bob', { launch: ['--name', 'Bob'] }))
  ann = await world.peer('Ann')
  await present(ann, 'Bob')
})
afterAll(() => world[Symbol.asyncDispose]())

/** Settles with the next word on what became of a message. */
function delivery(mesh: Mesh): Promise<void> {
  return new Promise((resolve) => {
    const off = mesh.on('delivery', () => {
      off()
      resolve()
    })
  })
}

test('a message of a chain that ran on too long does not wake the model until a person says so', async () => {
  const { id } = await ann.send({ to: 'Bob', message: 'round and round', hops: 99 })
  const carries = (text: string) => (request: { text: string }) => request.text.includes(text)
  for (let changed = delivery(ann); (await ann.status(id)).recipients[0]?.rung !== 'received'; changed = delivery(ann)) await changed
  await bob.turn('[[say a turn of the user]]')
  expect(world.api.requests.filter(carries('round and round'))).toEqual([])
  world.claudemesh('continue')
  await world.api.until('bob', 'what was held', carries('round and round'))
})

test('the user at the terminal reads whose messages wait, and what lets them through', async () => {
  const cal = world.own(new Terminal(world, 'cal', { launch: ['--name', 'Cal'] }))
  await present(ann, 'Cal')
  const held = new Promise<void>((resolve) => {
    const off = ann.on('delivery', (update) => {
      if (update.name !== 'Cal' || !update.held) return
      off()
      resolve()
    })
  })
  await ann.send({ to: 'Cal', message: 'round and round', hops: 99 })
  await held
  await cal.type('good morning [[say good morning]]')
  await cal.shows((screen) => /over the budget: Ann \(1\)\.\s+Run\s+`claudemesh\s+continue`/.test(screen.replaceAll(/\s+/g, ' ')))
})
