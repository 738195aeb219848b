import { afterAll, beforeAll, expect, test } from 'vitest'
import { Machine } from './machine.ts'

let machine: Machine
let port: string

beforeAll(async () => {
  machine = await Machine.up()
  port = String((await machine.json<{ port: number }>(['up'])).port)
}, 60_000)
afterAll(() => machine[Symbol.asyncDispose]())

test('a shell peer says once that the broker is away, and once that it is back', async () => {
  await using inbox = machine.start(['inbox', '--follow', '--name', 'Desk'])
  await inbox.printed(/listening/)
  await machine.run(['down'])
  await inbox.printed(/connection lost \(the broker is going down\); trying again/)
  await machine.json(['up', '--port', port, '--detach'])
  await inbox.printed(/connected again/)
  await machine.run(['send', 'Desk', 'welcome back'])
  await inbox.printed(/welcome back/)
  expect((await inbox.stop('SIGINT')).err.match(/connection lost/g)).toHaveLength(1)
})

test('without the broker of this machine every command names the remedy, and none hangs', async () => {
  await machine.run(['down'])
  for (const args of [['peers'], ['state', 'list'], ['recall', 'x'], ['invite'], ['file', 'list'], ['inbox']])
    expect(await machine.refusal(args)).toMatchObject({ exit: 1, code: 'unavailable', message: expect.stringMatching(/; start it: claudemesh up --detach$/) })
  expect(await machine.refusal(['trace', 'A'.repeat(22)])).toMatchObject({ exit: 1, code: 'unavailable' })
})
