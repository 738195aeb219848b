import { afterAll, beforeAll, expect, test } from 'vitest'
import { verifies } from '../harness/verifies.ts'
import { Machine } from './machine.ts'

let machine: Machine
beforeAll(async () => {
  machine = await Machine.up()
})
afterAll(() => machine[Symbol.asyncDispose]())

const initialize = { method: 'initialize', params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'test', version: '1' } } }
const tool = (name: string, input: object) => ({ method: 'tools/call', params: { name, arguments: input } })
const lines = (...calls: object[]) => calls.map((call, i) => `${JSON.stringify({ jsonrpc: '2.0', id: i + 1, ...call })}\n`).join('')

test('started plainly, the server is a session of its own that ends with its client', async () => {
  verifies('cli.mcp')
  await using bob = await machine.session('Bob')
  const left = new Promise<string>((resolve) => bob.on('peer', ({ change }) => change !== 'updated' && resolve(change)))
  const server = machine.start(['mcp', '--name', 'Plain'], { open: true })
  server.write(lines(initialize, tool('send_message', { to: 'Bob', message: 'hello' })))
  await server.printed(/stored for 1: Bob/)
  expect(bob.inbox.drain()).toMatchObject([{ text: 'hello', from: { name: 'Plain' } }])
  server.end()
  expect(await server.ended).toMatchObject({ code: 0, err: '' })
  expect(await left).toBe('left')
})

test('without a mesh it answers all the same, and each tool says what is missing', async () => {
  await using other = new Machine()
  const server = other.start(['mcp'], { open: true })
  server.write(lines(initialize, tool('list_peers', {})))
  await server.printed(/"serverInfo"/)
  const [answer] = await server.printed(/^.*"id":2.*$/m)
  expect(answer).toContain('"isError":true')
  server.end()
  expect((await server.ended).code).toBe(0)
})
