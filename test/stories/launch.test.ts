import { chmodSync, existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'
import { PassThrough } from 'node:stream'
import { fileURLToPath } from 'node:url'
import type { Mesh } from '@claudemesh/client'
import { systemClock } from '@claudemesh/protocol'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { launch, type LaunchFlags } from '../../apps/cli/src/commands/launch.ts'
import type { Context } from '../../apps/cli/src/context.ts'
import { loadConfig } from '../../apps/cli/src/home/config.ts'
import { pickMesh } from '../../apps/cli/src/home/meshes.ts'
import { Output } from '../../apps/cli/src/output.ts'
import { connectMesh } from '../../apps/cli/src/session/connect.ts'
import { Machine } from '../cli/machine.ts'
import { verifies } from '../harness/verifies.ts'

/** Stands in for Claude Code: starts the MCP server of its plugin as Claude Code does, prints the answer to initialize, and stays until told to go. */
const stub = `#!/usr/bin/env node
const { readFileSync, writeFileSync } = require('node:fs')
const { spawn } = require('node:child_process')
if (process.env.MARK) {
  writeFileSync(process.env.MARK, '')
  process.exit(0)
}
const plugin = process.argv[process.argv.indexOf('--plugin-dir') + 1]
const { command, args } = JSON.parse(readFileSync(plugin + '/.mcp.json', 'utf8')).mcpServers.mesh
const server = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] })
const say = (message) => server.stdin.write(JSON.stringify({ jsonrpc: '2.0', ...message }) + '\\n')
say({ id: 1, method: 'initialize', params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'stub', version: '1' } } })
say({ method: 'notifications/initialized' })
server.stdout.pipe(process.stdout)
server.on('exit', () => process.exit(0))
process.on('SIGTERM', () => server.stdin.end())
`

let machine: Machine
let path: string

beforeAll(async () => {
  machine = new Machine()
  await machine.json(['up', '--port', '0', '--detach'])
  const bin = join(machine.folder, 'bin')
  mkdirSync(bin)
  writeFileSync(join(bin, 'claude'), stub)
  chmodSync(join(bin, 'claude'), 0o755)
  path = [bin, dirname(process.execPath), process.env['PATH']].join(delimiter)
})
afterAll(() => machine[Symbol.asyncDispose]())

function watching(slug: string): Promise<Mesh> {
  const { home } = machine
  return connectMesh({ home, clock: systemClock }, pickMesh(loadConfig(home), slug), { name: 'Watcher', groups: [] })
}

async function appears(watcher: Mesh, name: string) {
  for (;;) {
    const found = watcher.peers().find((peer) => peer.name === name)
    if (found) return found
    await new Promise<void>((resolve) => {
      const off = watcher.on('peer', () => {
        off()
        resolve()
      })
    })
  }
}

test('peers see the session under its name, with its role and groups, and its MCP server answers Claude Code', async () => {
  verifies('peers.name-flag', 'peers.role-flag', 'peers.groups-flag', 'cli.mcp')
  await using watcher = await watching('local')
  const args = ['launch', '--name', 'Vinnie', '--role', 'thief', '--groups', 'robbers:lead,Lookouts,all', '-y']
  const running = machine.start(args, { env: { PATH: path } })
  const peer = await appears(watcher, 'Vinnie')
  expect(peer).toMatchObject({ role: 'thief', groups: [{ name: 'robbers', role: 'lead' }, { name: 'lookouts' }] })
  const [answer] = await running.printed(/^\{.*"id":1.*$/m)
  expect(JSON.parse(answer)).toMatchObject({ result: { serverInfo: { name: 'claudemesh' }, instructions: expect.stringContaining('claudemesh') } })
  await running.stop()
})

describe('in a terminal', () => {
  /** What stands on the screen after a launch with these flags and this answer, and whether claude was started. */
  async function launched(flags: LaunchFlags, answer?: string): Promise<{ screen: string; started: boolean }> {
    const mark = join(machine.folder, `mark-${flags.name}`)
    const [stdin, stdout] = [Object.assign(new PassThrough(), { isTTY: true }), Object.assign(new PassThrough(), { isTTY: true })]
    if (answer !== undefined) stdin.write(`${answer}\n`)
    const context = {
      env: { PATH: path, MARK: mark },
      cwd: machine.project,
      home: machine.home,
      node: process.execPath,
      script: fileURLToPath(new URL('../../apps/cli/src/main.ts', import.meta.url)),
      version: '0.0.0',
      clock: systemClock,
      stdin,
      stdout,
      stderr: stdout,
    } as unknown as Context
    expect(await launch(context, new Output(context, false), flags, [])).toBe(0)
    return { screen: String(stdout.read() ?? ''), started: existsSync(mark) }
  }

  test('the banner names the session and its mesh; --quiet leaves it out', async () => {
    verifies('launch.quiet')
    expect(await launched({ name: 'Loud', yes: true })).toMatchObject({ screen: expect.stringMatching(/Loud.* in .*local/), started: true })
    expect(await launched({ name: 'Hush', yes: true, quiet: true })).toEqual({ screen: '', started: true })
  })

  test.each([
    ['', true],
    ['y', true],
    ['n', false],
    ['No', false],
  ])('without -y it explains and asks; the answer %j means %s', async (answer, goes) => {
    verifies('launch.confirms')
    const { screen, started } = await launched({ name: `Asked${answer}` }, answer)
    expect(screen).toMatch(/send and receive peer messages without asking/)
    expect(screen).toMatch(/text only/)
    expect(screen).toMatch(/Continue\? \[Y\/n\]/)
    expect(started).toBe(goes)
  })
})

test('--mesh selects the mesh of the session', async () => {
  verifies('cli.launch-mesh')
  const { meshes } = await machine.json<{ meshes: { url: string }[] }>(['list'])
  await machine.json(['create', 'heist', '--broker', meshes[0]?.url.replace(/\/ws$/, '') ?? ''])
  expect(await machine.refusal(['launch', '-y'], { env: { PATH: path } })).toMatchObject({ message: expect.stringContaining('--mesh') })
  await using local = await watching('local')
  await using heist = await watching('heist')
  const running = machine.start(['launch', '--name', 'Rocco', '--mesh', 'heist', '-y'], { env: { PATH: path } })
  await appears(heist, 'Rocco')
  await local.calls.session.getPolicy({})
  expect(local.peers().map((peer) => peer.name)).not.toContain('Rocco')
  await running.stop()
})
