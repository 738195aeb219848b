import { chmodSync, existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { fetchHandover } from '../../apps/cli/src/launch/handover.ts'
import { verifies } from '../harness/verifies.ts'
import { Machine } from './machine.ts'

/** Stands in for Claude Code where only the start matters: writes down how it was started, then waits for a word on stdin or a signal. */
const stub = `#!/usr/bin/env node
const { readFileSync, writeFileSync } = require('node:fs')
if (process.argv[2] === '--version') {
  console.log(process.env.SAYS ?? '2.1.329 (Claude Code)')
  process.exit(0)
}
const plugin = process.argv[process.argv.indexOf('--plugin-dir') + 1]
const record = { argv: process.argv.slice(2), env: process.env, cwd: process.cwd(), mcp: JSON.parse(readFileSync(plugin + '/.mcp.json', 'utf8')) }
writeFileSync(process.env.RECORD, JSON.stringify(record))
process.on('SIGTERM', () => process.exit(43))
process.stdin.on('data', () => {}).on('end', () => process.env.STAY || process.exit(Number(process.env.CODE ?? 0)))
if (process.env.STAY) setInterval(() => {}, 1 << 30)
console.log('started')
`

interface Record {
  argv: string[]
  env: { [name: string]: string }
  cwd: string
  mcp: { mcpServers: { mesh: { command: string; args: string[] } } }
}

let machine: Machine
let path: string
let record: string

beforeAll(async () => {
  machine = await Machine.up()
  const bin = join(machine.folder, 'bin')
  mkdirSync(bin)
  writeFileSync(join(bin, 'claude'), stub)
  chmodSync(join(bin, 'claude'), 0o755)
  path = [bin, dirname(process.execPath), process.env['PATH']].join(delimiter)
  record = join(machine.folder, 'record.json')
}, 60_000)
afterAll(() => machine[Symbol.asyncDispose]())

const started = () => JSON.parse(readFileSync(record, 'utf8')) as Record
const socketOf = ({ mcp }: Record) => mcp.mcpServers.mesh.args.at(-1) ?? ''
const launch = (args: string[], env: { [name: string]: string } = {}) => machine.start(['launch', ...args], { env: { PATH: path, RECORD: record, ...env } })

describe('launch', () => {
  test('starts claude with the plugin, the mesh’s tools and the name, the user’s own arguments untouched', async () => {
    verifies('launch.no-prompts', 'launch.passes-arguments', 'launch.owns-the-flags')
    const ran = await launch([
      '--name',
      'Big T',
      '--role',
      'dealer',
      '--groups',
      'dealers:lead,all',
      '-y',
      '--',
      '--append-system-prompt',
      'You are "Big Tony".',
      'go',
    ]).ended
    expect(ran).toMatchObject({ code: 0, err: '' })
    const { argv, cwd } = started()
    expect(argv).toEqual([
      '--plugin-dir',
      expect.stringMatching(/sessions\/s-\w+\/plugin$/),
      '--allowedTools=mcp__plugin_claudemesh_mesh',
      '-n',
      'Big T',
      '--append-system-prompt',
      'You are "Big Tony".',
      'go',
    ])
    expect(cwd).toBe(machine.project)
  })

  test('never skips permissions by itself, and passes a user’s own wish once', async () => {
    verifies('launch.autonomous', 'launch.no-double-flags')
    await launch(['-y', '--', '--dangerously-skip-permissions', '--dangerously-skip-permissions']).ended
    expect(started().argv.filter((arg) => arg.startsWith('--dangerously'))).toEqual(['--dangerously-skip-permissions'])
    await launch(['-y']).ended
    expect(started().argv.join(' ')).not.toContain('dangerously')
  })

  test('hands the session to the process that claude starts: name, role, groups and a key of this launch alone', async () => {
    verifies('identity.session-per-launch', 'launch.behaviour-stays-local')
    const keys: string[] = []
    for (const name of ['Alice', 'Bob']) {
      const running = launch(['--name', name, '--role', 'dev', '--groups', 'frontend:lead', '--watch', 'deploy_*, sprint', '-y'], { STAY: '1' })
      await running.printed(/started/)
      const { handover, done } = await fetchHandover(socketOf(started()))
      done()
      expect(handover).toMatchObject({
        name,
        role: 'dev',
        groups: [{ name: 'frontend', role: 'lead' }],
        watch: ['deploy_*', 'sprint'],
        incarnation: 1,
        mesh: { slug: 'local' },
      })
      const again = await fetchHandover(socketOf(started()))
      expect(again.handover.incarnation).toBe(2)
      again.done()
      keys.push(handover.seed)
      await running.stop()
    }
    expect(new Set(keys).size).toBe(2)
  })

  test('keeps the key out of arguments, environment and files', async () => {
    const running = launch(['--name', 'Alice', '-y'], { STAY: '1' })
    await running.printed(/started/)
    const { handover, done } = await fetchHandover(socketOf(started()))
    done()
    const { seed } = handover
    const folder = dirname(socketOf(started()))
    const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
    const texts = files.map((entry) => readFileSync(join(entry.parentPath, entry.name), 'utf8'))
    expect(texts.length).toBeGreaterThan(3)
    expect([...texts, readFileSync(record, 'utf8'), readFileSync(`/proc/${running.child.pid}/cmdline`, 'utf8')].join('\n')).not.toContain(seed)
    await running.stop()
  })

  test('ends with claude’s exit code and leaves nothing behind', async () => {
    const ran = await launch(['-y'], { CODE: '7' }).ended
    expect(ran.code).toBe(7)
    expect(existsSync(dirname(socketOf(started())))).toBe(false)
  })

  test('forwards signals', async () => {
    const running = launch(['-y'], { STAY: '1' })
    await running.printed(/started/)
    expect((await running.stop('SIGTERM')).code).toBe(43)
    expect(existsSync(dirname(socketOf(started())))).toBe(false)
  })

  test('started inside a Claude Code, leaves that one’s marks behind', async () => {
    await launch(['-y'], { CLAUDECODE: '1', CLAUDE_CODE_CHILD_SESSION: '1', CLAUDE_CODE_MESSAGING_SOCKET: '/x', CLAUDE_CODE_USE_BEDROCK: '1' }).ended
    const names = Object.keys(started().env).filter((name) => name.startsWith('CLAUDE'))
    expect(names.sort()).toEqual(['CLAUDEMESH_HOME', 'CLAUDEMESH_SESSION', 'CLAUDE_CODE_USE_BEDROCK'])
  })

  test('run through a package manager, works where the user stands', async () => {
    const elsewhere = join(machine.folder, 'elsewhere')
    mkdirSync(elsewhere)
    await launch(['-y'], { INIT_CWD: elsewhere, npm_lifecycle_event: 'claudemesh' }).ended
    expect(started().cwd).toBe(elsewhere)
    expect(started().env['INIT_CWD']).toBeUndefined()
    await launch(['-y'], { INIT_CWD: elsewhere, npm_lifecycle_event: 'test' }).ended
    expect(started().cwd).toBe(machine.project)
  })

  test('joins first when it is given an invite, and only once', async () => {
    verifies('cli.launch-join')
    await using other = new Machine()
    const { link } = await machine.json<{ link: string }>(['invite'])
    const start = () => other.start(['launch', '--join', link, '--name', 'Carol', '-y'], { env: { PATH: path, RECORD: record } }).ended
    expect(await start()).toMatchObject({ code: 0 })
    expect(await start()).toMatchObject({ code: 0 })
    expect(await other.json(['list'])).toMatchObject({ meshes: [{ slug: 'local', name: 'Carol' }] })
  })
})

test('with a Claude Code that messages cannot wake it says so and starts it all the same', async () => {
  const younger = await launch(['-y'], { SAYS: '2.1.197 (Claude Code)' }).ended
  expect(younger).toMatchObject({
    code: 0,
    err: expect.stringMatching(/^claudemesh: Claude Code 2\.1\.197 has no inbox .* a hook waits to wake it; run: claude update\n$/),
  })
  const ran = await launch(['-y'], { SAYS: '2.1.100 (Claude Code)' }).ended
  expect(ran).toMatchObject({ code: 0, err: expect.stringMatching(/^claudemesh: Claude Code 2\.1\.100 is too old .* run: claude update\n$/) })
})

test('without its broker it says so, starts claude all the same, and ends as ever', async () => {
  await using other = new Machine()
  const { link } = await machine.json<{ link: string }>(['invite'])
  await other.json(['join', link])
  const file = join(other.home, 'config.json')
  writeFileSync(file, readFileSync(file, 'utf8').replace(/127\.0\.0\.1:\d+/, '127.0.0.1:1'))
  const ran = await other.start(['launch', '-y'], { env: { PATH: path, RECORD: record, CODE: '3' } }).ended
  expect(ran.code).toBe(3)
  expect(ran.err).toMatch(/^claudemesh: the broker of local is away \(.+\); the session joins when it is back; ask who runs it\n$/)
})

describe('launch refuses with the remedy', () => {
  test('without claude on the PATH', async () => {
    const refusal = await machine.refusal(['launch', '-y'], { env: { PATH: machine.folder } })
    expect(refusal).toMatchObject({ exit: 1, code: 'no_claude', message: expect.stringContaining('npm install -g @anthropic-ai/claude-code') })
  })
  test('without a mesh', async () => {
    await using other = new Machine()
    expect(await other.refusal(['launch', '-y'], { env: { PATH: path } })).toMatchObject({ exit: 1, code: 'no_mesh' })
  })
  test.each([
    [['launch'], '--name <name> --yes'],
    [['launch', '--name', 'Alice'], 'add --yes'],
  ])('%j without a terminal names the flags that are missing', async (args, flags) => {
    const refusal = await machine.refusal(args, { env: { PATH: path } })
    expect(refusal).toMatchObject({ exit: 2, code: 'usage', message: expect.stringContaining(flags) })
  })
  test.each([
    ['a reserved name', ['--name', 'broker']],
    ['a name with a control character', ['--name', 'A\u0007']],
    ['a group that is none', ['--groups', 'a b']],
    ['a role over its length', ['--role', 'r'.repeat(65)]],
  ])('%s', async (_what, flags) => {
    expect(await machine.refusal(['launch', '-y', ...flags], { env: { PATH: path } })).toMatchObject({ exit: 1, code: 'bad_name' })
  })
})
