import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Machine } from './machine.ts'

let machine: Machine
beforeAll(async () => {
  machine = await Machine.up()
})
afterAll(() => machine[Symbol.asyncDispose]())

const initialize = { method: 'initialize', params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'test', version: '1' } } }
const listPeers = { method: 'tools/call', params: { name: 'list_peers', arguments: {} } }

/** What the model of a session reads that is started with this user's membership. */
async function firstAnswer(user: Machine): Promise<string> {
  await using server = user.start(['mcp', '--name', 'Carol'], { open: true })
  server.write([initialize, listPeers].map((call, i) => `${JSON.stringify({ jsonrpc: '2.0', id: i + 1, ...call })}\n`).join(''))
  return (await server.printed(/^.*"id":2\b.*$/m))[0]
}

async function member(name: string): Promise<Machine> {
  const { link } = await machine.json<{ link: string }>(['invite'])
  const user = new Machine()
  await user.json(['join', link, '--name', name])
  return user
}

test('a mesh that no longer exists on its broker: the session starts, and its first tool says why it is alone', async () => {
  await using other = await Machine.up()
  await using carol = await member('Clara')
  const [there] = (await other.json<{ meshes: { url: string }[] }>(['list'])).meshes
  const file = join(carol.home, 'config.json')
  writeFileSync(file, readFileSync(file, 'utf8').replace(/ws:\/\/127\.0\.0\.1:\d+\/ws/, there?.url ?? ''))
  const answer = await firstAnswer(carol)
  expect(answer).toContain('"isError":true')
  expect(answer).toMatch(/unauthorized: .*mesh/)
})

test('a membership that was revoked: the session starts, its first tool says so, and doctor what to do', async () => {
  await using carol = await member('Carol')
  await machine.json(['remove', 'Carol', '--yes'])
  const answer = await firstAnswer(carol)
  expect(answer).toContain('"isError":true')
  expect(answer).toMatch(/revoked: /)
  const ran = await carol.run(['doctor'], { env: { HOME: carol.folder } })
  expect(ran.code).toBe(1)
  expect(ran.out).toMatch(/fail +local membership +refused: .*revoke.*new invite/)
})

test('two sessions of one name are both there, and who writes to that name is told how to pick one', async () => {
  await using first = await machine.session('Twin')
  await using second = await machine.session('Twin')
  const { code, message } = await machine.refusal(['send', 'Twin', 'hello'])
  expect(code).toBe('ambiguous_name')
  for (const { me } of [first, second]) expect(message).toContain(me.fingerprint.slice(0, 4))
  const { fingerprint } = first.me
  const arrived = new Promise<string>((resolve) => first.on('message', ({ text }) => resolve(text)))
  await machine.json(['send', `Twin/${fingerprint.replace(' ', '')}`, 'hello'])
  expect(await arrived).toBe('hello')
})
