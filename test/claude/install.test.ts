import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import type { Mesh } from '@claudemesh/client'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Headless } from './harness/headless.ts'
import { claudeBin } from './harness/install.ts'
import { Terminal } from './harness/terminal.ts'
import { present, World } from './harness/world.ts'

let world: World
let watcher: Mesh

beforeAll(async () => {
  world = await World.start()
  watcher = await world.peer('Watcher')
  world.claudemesh('install')
})
afterAll(() => world[Symbol.asyncDispose]())

test('Claude Code lists the server that install registered', () => {
  const run = spawnSync(join(claudeBin, 'claude'), ['mcp', 'list'], { env: world.env('shell'), cwd: world.project, encoding: 'utf8' })
  expect(run.stdout).toMatch(/claudemesh: .*main\.ts mcp.*Connected/)
})

test('a plain claude is a peer: it has the tools, its hooks tell its status, and it leaves with its end', async () => {
  const statuses: string[] = []
  watcher.on('peer', ({ session }) => {
    const peer = watcher.peers().find((one) => one.session === session)
    if (peer) statuses.push(peer.status)
  })
  const args = [
    '-p',
    '--allowedTools=mcp__claudemesh',
    '--output-format',
    'stream-json',
    '--verbose',
    'who? [[call mcp__claudemesh__list_peers {}]] [[say done]]',
  ]
  const child = spawn(join(claudeBin, 'claude'), args, { env: world.env('shell'), cwd: world.project, stdio: ['ignore', 'pipe', 'inherit'] })
  let out = ''
  child.stdout.on('data', (part: Buffer) => (out += part.toString()))
  expect(await once(child, 'exit')).toEqual([0, null])
  expect(out).toContain('Watcher')
  expect(statuses).toContain('working')
  expect(statuses).toContain('idle')
})

test('after /clear the model of a plain claude is told again who it is, and messages reach it', async () => {
  await using terminal = new Terminal(world, 'shell', { claude: ['--allowedTools=mcp__claudemesh'] })
  const joined = new Promise<string>((resolve) => {
    const look = () => watcher.peers()[0] && resolve(watcher.peers()[0]?.name ?? '')
    watcher.on('peer', look)
    look()
  })
  const name = await joined
  await terminal.type('hello [[say first]]')
  await world.api.until('shell', 'the first prompt', (request) => request.text.includes('[[say first]]'))
  await terminal.type('/clear')
  await terminal.type('hello again [[say second]]')
  const after = await world.api.until('shell', 'the second prompt', (request) => request.text.includes('[[say second]]'))
  expect(after.text).toContain(`In the claudemesh mesh you are ${name}`)
  await watcher.send({ to: name, message: 'still there?' })
  await world.api.until('shell', 'a message after it', (request) => request.text.includes('still there?'))
})

test('in a launched session the registered server stands by: one peer, one set of tools', async () => {
  await using alice = new Headless(world, 'shell', { launch: ['--name', 'Alice'] })
  await present(watcher, 'Alice')
  const [peers] = await alice.turn('who? [[call mcp__plugin_claudemesh_mesh__list_peers {}]] [[say done]]')
  expect(peers).toContain('Watcher')
  const request = await world.api.until('shell', 'a request with tools', (one) => one.text.includes('mcp__plugin_claudemesh_mesh__list_peers'))
  expect(request.body.tools?.map((tool) => tool.name).filter((name) => name.startsWith('mcp__claudemesh'))).toEqual([])
  expect(watcher.peers().map((peer) => peer.name)).toEqual(['Alice'])
})
