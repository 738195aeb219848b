import { execFileSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Mesh } from '@claudemesh/client'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Headless } from './harness/headless.ts'
import { present, World } from './harness/world.ts'

const call = (name: string, input: unknown) => `[[call mcp__plugin_claudemesh_mesh__${name} ${JSON.stringify(input)}]]`

let world: World
let watcher: Mesh
beforeAll(async () => {
  world = await World.start()
  watcher = await world.peer('Watcher')
})
afterAll(() => world[Symbol.asyncDispose]())

const keysOf = (name: string) =>
  watcher
    .peers()
    .filter((peer) => peer.name === name)
    .map((peer) => peer.session)

test('an MCP server that was killed comes back as the same session, and what it then sends is taken', async () => {
  await using alice = new Headless(world, 'alice', { launch: ['--name', 'Alice'] })
  await present(watcher, 'Alice')
  const before = keysOf('Alice')
  expect(await alice.turn(call('send_message', { to: 'Watcher', message: 'before' }))).toHaveLength(1)
  process.kill(serverOf(world.folder), 'SIGKILL')
  // The call that finds the server gone fails; the next one starts it again.
  const texts = () => watcher.inbox.peek().map((message) => message.text)
  const arrived = new Promise<void>((resolve) => watcher.on('message', () => texts().includes('after') && resolve()))
  await alice.turn(`${call('list_peers', {})} ${call('list_peers', {})} ${call('send_message', { to: 'Watcher', message: 'after' })}`)
  await arrived
  expect(texts()).toEqual(['before', 'after'])
  expect(keysOf('Alice')).toEqual(before)
})

test('a session that ends leaves no ghost and no folder', async () => {
  const carol = new Headless(world, 'carol', { launch: ['--name', 'Carol'] })
  await present(watcher, 'Carol')
  const left = new Promise<string>((resolve) => watcher.on('peer', ({ change }) => change !== 'updated' && resolve(change)))
  await carol.turn('[[say nothing to do]]')
  expect(await carol.end()).toBe(0)
  expect(await left).toBe('left')
  expect(keysOf('Carol')).toEqual([])
  expect(readdirSync(join(world.folder, 'mesh', 'sessions'))).toEqual([])
})

/** The process of the one MCP server that was started from this world. */
function serverOf(folder: string): number {
  const rows = execFileSync('ps', ['-eo', 'pid=,args='], { encoding: 'utf8' }).split('\n')
  const row = rows.find((line) => line.includes(' mcp --handover ') && line.includes(folder))
  return Number(row?.trim().split(' ')[0])
}
