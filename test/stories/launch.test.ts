import { chmodSync, existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { delimiter, dirname, join } from 'node:path'
import { PassThrough } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { stripVTControlCharacters } from 'node:util'
import type { Mesh } from '@claudemesh/client'
import { systemClock } from '@claudemesh/protocol'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { launch } from '../../apps/cli/src/commands/launch.ts'
import type { Context } from '../../apps/cli/src/context.ts'
import { loadConfig } from '../../apps/cli/src/home/config.ts'
import { pickMesh } from '../../apps/cli/src/home/meshes.ts'
import type { LaunchFlags } from '../../apps/cli/src/launch/questions.ts'
import { Output } from '../../apps/cli/src/output.ts'
import { connectMesh } from '../../apps/cli/src/session/connect.ts'
import { Machine } from '../cli/machine.ts'
import { freshStore } from '../harness/fresh-store.ts'
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
  /** What stands on the screen after a launch with these flags, each answer typed when its question has come, and whether claude was started. */
  async function launched(flags: LaunchFlags, answers: readonly (readonly [question: string, answer: string])[] = [], home = machine.home) {
    const mark = join(machine.folder, `mark-${flags.name ?? answers[0]?.[1]}`)
    const [stdin, stdout] = [Object.assign(new PassThrough(), { isTTY: true }), Object.assign(new PassThrough(), { isTTY: true })]
    // As with a terminal, the end of one prompt is not the end of it.
    stdout.end = () => stdout
    let screen = ''
    let next = 0
    let from = 0
    let typed = false
    stdout.on('data', (part: Buffer) => {
      screen += part.toString()
      // The prompt has taken what it shows.
      if (typed) setImmediate(() => stdin.write('\r'))
      typed = false
      const [question, answer] = answers[next] ?? []
      const shown = question === undefined ? -1 : screen.indexOf(question, from)
      if (shown < 0) return
      next++
      from = shown + 1
      const type = () => {
        if (answer === 'Ctrl-C') stdin.write('\u0003')
        else if (answer === '') stdin.write('\r')
        else {
          typed = true
          stdin.write(answer)
        }
      }
      // Not before the prompt listens: readline does, then the screen, then what takes the answer.
      const listening = () => (stdin.listenerCount('keypress') >= 3 ? type() : setImmediate(listening))
      setImmediate(listening)
    })
    const context = {
      env: { PATH: path, MARK: mark },
      cwd: machine.project,
      home,
      node: process.execPath,
      script: fileURLToPath(new URL('../../apps/cli/src/main.ts', import.meta.url)),
      version: '0.0.0',
      clock: systemClock,
      stdin,
      stdout,
      stderr: stdout,
    } as unknown as Context
    const code = await launch(context, new Output(context, false), flags, [])
    return { code, screen: stripVTControlCharacters(screen), asked: next, started: existsSync(mark) }
  }

  test('the banner names the session and its mesh; --quiet leaves it out', async () => {
    verifies('launch.quiet')
    expect(await launched({ name: 'Loud', yes: true })).toMatchObject({ screen: expect.stringMatching(/Loud.* in .*local/), started: true })
    expect(await launched({ name: 'Hush', yes: true, quiet: true })).toMatchObject({ screen: '', started: true })
  })

  const given = { role: 'dev', groups: '', mesh: 'local' }

  test.each([
    ['', true],
    ['y', true],
    ['n', false],
    ['No', false],
  ])('without -y it explains and asks; the answer %j means %s', async (answer, goes) => {
    verifies('launch.confirms')
    const { code, screen, started } = await launched({ ...given, name: `Asked${answer}` }, [['Continue?', answer]])
    expect(screen).toContain(
      [
        'Autonomous mode',
        'Claude will send and receive peer messages without',
        'asking you first. Peers exchange text only — no file',
        'access, no tool calls, no code execution.',
        'Continue? [Y/n]',
      ].join('\n'),
    )
    expect({ code, started }).toEqual({ code: 0, started: goes })
  })

  test('what is neither yes nor no is asked again', async () => {
    const { screen, started } = await launched({ ...given, name: 'Unsure' }, [
      ['Continue?', 'perhaps'],
      ['answer y or n', '\u0015n'],
    ])
    expect(screen).toContain('answer y or n')
    expect(started).toBe(false)
  })

  test('the wizard asks for each thing that is missing; Enter skips what is optional, a single mesh is chosen by itself', async () => {
    verifies('wizard.asks-what-is-missing', 'wizard.optional-empty', 'launch.single-mesh')
    await using watcher = await watching('local')
    const { screen, started } = await launched({}, [
      ['Name:', '\u0015Wanda'],
      ['Role (optional):', ''],
      ['Groups (optional):', 'frontend:lead, reviewers'],
      ['Continue?', 'y'],
    ])
    expect(watcher.connection.phase).toBe('ready')
    expect(screen).toMatch(
      /Name: Wanda[^]*Mesh: local \(1 peer online\)\n[^]*Role \(optional\):[^]*Groups \(optional\): frontend:lead, reviewers[^]*Autonomous mode/,
    )
    expect(started).toBe(true)
  })

  test('of several meshes one is chosen, each shown with its peers; its broker may be away', async () => {
    await using other = await Machine.up()
    const { meshes } = await other.json<{ meshes: { url: string }[] }>(['list'])
    await other.json(['create', 'team', '--broker', meshes[0]?.url.replace(/\/ws$/, '') ?? ''])
    const chosen = async () => {
      const answers = [
        ['navigate', '\u001b[B'],
        ['Continue?', 'n'],
      ] as const
      return (await launched({ name: 'Chooser', role: '', groups: '' }, answers, other.home)).screen
    }
    const screen = await chosen()
    expect(screen).toContain('local (0 peers online)')
    expect(screen).toContain('Mesh: team (0 peers online)')
    await other.json(['down'])
    expect(await chosen()).toContain('Mesh: team (broker unreachable; messages wait)')
  })

  test('a wrong answer is refused with the rule and asked again', async () => {
    const { screen, started } = await launched({ role: '', groups: '', mesh: 'local' }, [
      ['Name:', '\u0015broker'],
      ['reserved', '\u0015Nora'],
      ['Continue?', 'n'],
    ])
    expect(screen).toContain('Name: Nora')
    expect(started).toBe(false)
  })

  test('each flag skips its question', async () => {
    const { screen, asked } = await launched({ ...given, name: 'Flagged' }, [['Continue?', 'n']])
    expect(asked).toBe(1)
    expect(screen).not.toMatch(/Name:|Role|Groups|Mesh:/)
  })

  test('Ctrl-C at a question starts nothing', async () => {
    const { code, started } = await launched({ ...given, name: 'Interrupted' }, [['Continue?', 'Ctrl-C']])
    expect({ code, started }).toEqual({ code: 130, started: false })
  })

  test('without a mesh it offers to start one on this machine; no means no', async () => {
    const { screen, started, asked } = await launched({ name: 'Lonely' }, [['Start one on this machine?', 'n']], join(machine.folder, 'empty'))
    expect({ started, asked }).toEqual({ started: false, asked: 1 })
    expect(screen).not.toContain('Mesh:')
  })

  test('yes starts one, whatever else has the usual port, and the session is in it', async () => {
    await using other = new Machine()
    await freshStore(join(other.home, 'data'))
    const usual = createServer().on('error', () => {})
    usual.listen(7717, '127.0.0.1')
    const answers = [
      ['Start one on this machine?', 'y'],
      ['Continue?', ''],
    ] as const
    const { screen, started } = await launched({ name: 'Founder', role: '', groups: '' }, answers, other.home)
    usual.close()
    expect(started).toBe(true)
    expect(screen).toContain('Mesh: local (0 peers online)')
    expect(await other.json(['status'])).toMatchObject({ meshes: [{ slug: 'local', reachable: true }] })
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
