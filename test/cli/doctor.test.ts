import { chmodSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { createServer } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { contractVersion } from '@claudemesh/protocol'
import type { Check } from '../../apps/cli/src/doctor/check.ts'
import { checkNode } from '../../apps/cli/src/doctor/programs.ts'
import { atLeast } from '../../apps/cli/src/launch/claude-version.ts'
import { verifies } from '../harness/verifies.ts'
import { Machine } from './machine.ts'

let host: Machine
let link: string

beforeAll(async () => {
  host = await Machine.up()
  link = (await host.json<{ link: string }>(['invite', '--max', '99'])).link
}, 60_000)
afterAll(() => host[Symbol.asyncDispose]())

/** A program of that name in a folder of its own. */
function program(machine: Machine, folder: string, name: string, says: string): string {
  const bin = join(machine.folder, folder)
  mkdirSync(bin, { recursive: true })
  writeFileSync(join(bin, name), `#!/bin/sh\necho '${says}'\n`, { mode: 0o755 })
  return bin
}

interface Report {
  ok: boolean
  checks: Check[]
}

/** What doctor finds for one user whose world is well but for what the test changed. */
async function examine(
  machine: Machine,
  env: Record<string, string> = {},
): Promise<Report & { code: number | null; of: (check: string) => Check | undefined }> {
  const bin = program(machine, 'bin', 'claude', '2.1.329 (Claude Code)')
  const ran = await machine.run(['doctor', '--json'], { env: { HOME: machine.folder, PATH: bin, ...env } })
  const report = JSON.parse(ran.out) as Report
  return { ...report, code: ran.code, of: (name) => report.checks.find((one) => one.check === name) }
}

async function member(): Promise<Machine> {
  const machine = new Machine()
  await machine.json(['join', link])
  return machine
}

test('a machine on which all is well passes every check, and says so with 0', async () => {
  verifies('cli.doctor')
  await using machine = await member()
  const { code, ok, checks } = await examine(machine)
  expect(checks.filter((one) => one.level !== 'pass')).toEqual([])
  expect({ code, ok }).toEqual({ code: 0, ok: true })
  for (const name of ['node', 'claude', 'inbox', 'channel', 'hooks', 'install', 'files', 'orphans']) expect(checks.map((one) => one.check)).toContain(name)
  for (const name of ['local certificates', 'local broker', 'local clock', 'local membership']) expect(checks.map((one) => one.check)).toContain(name)
})

test('people get one line per check, with the remedy, and the count', async () => {
  await using machine = await member()
  const ran = await machine.run(['doctor'], { env: { HOME: machine.folder, PATH: machine.folder } })
  expect(ran.code).toBe(1)
  expect(ran.out).toMatch(/^fail {2}claude +not on the PATH → run: npm install -g @anthropic-ai\/claude-code$/m)
  expect(ran.out).toMatch(/\d+ pass, 0 warn, 1 fail\n$/)
})

describe('programs', () => {
  test('an old Node fails', () => {
    expect(checkNode('22.11.0')).toMatchObject({ level: 'fail', remedy: expect.stringContaining('22.12') })
    expect(checkNode('22.12.0').level).toBe('pass')
    expect([atLeast('2.1.9', '2.1.224'), atLeast('2.10.0', '2.9.9'), atLeast('3', '2.9')]).toEqual([false, true, true])
  })

  test.each<[string, string, Record<string, string>, string, Check['level'], string]>([
    ['a claude that does not run', 'no version', {}, 'claude', 'fail', 'does not tell'],
    ['a claude without an inbox', '2.1.197 (Claude Code)', {}, 'inbox', 'warn', 'before 2.1.224'],
    ['the inbox turned off', '2.1.329', { CLAUDE_CODE_HARBOR_KITE: '0' }, 'inbox', 'warn', 'HARBOR_KITE'],
    ['a hook in its place', '2.1.329', { CLAUDE_CODE_HARBOR_KITE: '0' }, 'wake hook', 'pass', 'waits'],
    ['no hook where an inbox is', '2.1.329', {}, 'wake hook', 'pass', 'not needed'],
    ['a claude too old for either', '2.1.100', {}, 'wake hook', 'warn', 'before 2.1.197'],
    ['the inbox withheld from servers, who find it all the same', '2.1.329', { CLAUDE_CODE_MCP_ALLOWLIST_ENV: '1' }, 'inbox', 'pass', 'wake'],
    ['the inbox of this session gone', '2.1.329', { CLAUDE_CODE_MESSAGING_SOCKET: '/nowhere/1.sock' }, 'own inbox', 'warn', 'gone'],
    ['channels that nobody asked for', '2.1.329', {}, 'channel', 'pass', 'only when asked for'],
  ])('%s', async (_what, says, env, check, level, words) => {
    await using machine = await member()
    const { of } = await examine(machine, { PATH: program(machine, 'other', 'claude', says), ...env })
    expect(of(check)).toMatchObject({ level, says: expect.stringContaining(words) })
  })

  test('several installs are named; two links to one program are one', async () => {
    await using machine = await member()
    const [a, b] = [program(machine, 'a', 'claude', '2.1.329'), program(machine, 'b', 'claude', '2.1.300')]
    const linked = join(machine.folder, 'linked')
    mkdirSync(linked)
    symlinkSync(join(a, 'claude'), join(linked, 'claude'))
    program(machine, 'b', 'claudemesh', '0.0.9')
    const { of } = await examine(machine, { PATH: [a, linked, b].join(delimiter) })
    expect(of('claude installs')).toMatchObject({ level: 'warn', says: `also ${join(b, 'claude')}`, remedy: expect.stringContaining(join(a, 'claude')) })
    expect(of('claudemesh')).toMatchObject({ level: 'warn', says: expect.stringContaining(join(b, 'claudemesh')) })
    const { of: single } = await examine(machine, { PATH: [a, linked].join(delimiter) })
    expect(single('claude installs')).toBeUndefined()
  })
})

describe('registration', () => {
  test('installed passes; what is missing or of another version warns', async () => {
    await using machine = await member()
    const env = { HOME: machine.folder }
    await machine.json(['install'], { env })
    expect((await examine(machine)).of('install MCP server')).toMatchObject({ level: 'pass' })
    const state = join(machine.folder, '.claude.json')
    writeFileSync(state, readFileSync(state, 'utf8').replace('main.ts', 'old.ts'))
    writeFileSync(join(machine.folder, '.claude', 'settings.json'), '{}')
    const { of, code } = await examine(machine)
    expect(of('install MCP server')).toMatchObject({ level: 'warn', says: expect.stringContaining('another version'), remedy: 'run: claudemesh install' })
    expect(of('install hooks')).toMatchObject({ level: 'warn', says: expect.stringContaining('missing') })
    expect(code).toBe(0)
  })

  test.each([
    ['hooks disabled', '{ "disableAllHooks": true }', 'hooks', 'disabled'],
    ['settings that nobody can read', '{', 'install', 'cannot be edited'],
  ])('%s fails', async (_what, settings, check, words) => {
    await using machine = await member()
    mkdirSync(join(machine.folder, '.claude'))
    writeFileSync(join(machine.folder, '.claude', 'settings.json'), settings)
    expect((await examine(machine)).of(check)).toMatchObject({ level: 'fail', says: expect.stringContaining(words) })
  })
})

describe('files', () => {
  test.each([
    ['a key file that others may read', (home: string) => chmodSync(join(home, 'config.json'), 0o640), 'chmod 600'],
    ['a home that others may enter', (home: string) => chmodSync(home, 0o755), 'chmod 700'],
    ['a link in place of a key', (home: string) => symlinkSync('/nowhere', join(home, 'x.key')), 'put the file itself there'],
  ])('%s fails with the command that mends it', async (_what, spoil, remedy) => {
    await using machine = await member()
    spoil(machine.home)
    const { checks, code } = await examine(machine)
    expect(checks.find((one) => one.check === 'files')).toMatchObject({ level: 'fail', remedy: expect.stringContaining(remedy) })
    expect(code).toBe(1)
  })

  test('folders of dead sessions are a warning', async () => {
    await using machine = await member()
    const folder = join(machine.home, 'sessions', 's-dead')
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    // No process has it: pids end far below.
    writeFileSync(join(folder, 'owner.pid'), '2000000000')
    expect((await examine(machine)).of('orphans')).toMatchObject({ level: 'warn', says: expect.stringContaining(folder) })
  })

  test('a damaged configuration fails and is kept', async () => {
    await using machine = await member()
    writeFileSync(join(machine.home, 'config.json'), 'oops')
    expect((await examine(machine)).of('meshes')).toMatchObject({
      level: 'fail',
      says: expect.stringContaining('damaged'),
      remedy: expect.stringContaining('move it back'),
    })
  })
})

describe('meshes', () => {
  /** The configuration with every occurrence replaced. */
  const rewrite = (machine: Machine, pattern: RegExp, by: string) => {
    const file = join(machine.home, 'config.json')
    writeFileSync(file, readFileSync(file, 'utf8').replace(pattern, by))
  }

  test('none yet is a warning', async () => {
    await using machine = new Machine()
    expect((await examine(machine)).of('meshes')).toMatchObject({ level: 'warn', remedy: expect.stringContaining('claudemesh up') })
  })

  test('a broker that is away fails', async () => {
    await using machine = await member()
    rewrite(machine, /127\.0\.0\.1:\d+/, '127.0.0.1:1')
    expect((await examine(machine)).of('local broker')).toMatchObject({
      level: 'fail',
      says: expect.stringContaining('away'),
      remedy: expect.stringContaining('ask'),
    })
  })

  test('certificates that do not verify fail', async () => {
    await using machine = await member()
    rewrite(machine, /"root": "./, '"root": "A')
    expect((await examine(machine)).of('local certificates')).toMatchObject({ level: 'fail', remedy: expect.stringContaining('new invite') })
  })

  test('a member that the broker does not let in fails', async () => {
    await using other = await Machine.up()
    const { meshes } = await other.json<{ meshes: { url: string }[] }>(['list'])
    await using machine = await member()
    rewrite(machine, /ws:\/\/127\.0\.0\.1:\d+\/ws/, meshes[0]?.url ?? '')
    expect((await examine(machine)).of('local membership')).toMatchObject({ level: 'fail', remedy: expect.stringContaining('claudemesh leave local') })
  })

  test.each([
    [-60_000, 'warn', 'ahead'],
    [600_000, 'fail', 'behind'],
  ])('a broker whose clock is %i ms off: %s', async (offset, level, words) => {
    const server = createServer((_request, response) => response.writeHead(200, { date: new Date(Date.now() + offset).toUTCString() }).end()).listen(
      0,
      '127.0.0.1',
    )
    await once(server, 'listening')
    await using machine = await member()
    rewrite(machine, /127\.0\.0\.1:\d+/, `127.0.0.1:${(server.address() as AddressInfo).port}`)
    expect((await examine(machine)).of('local clock')).toMatchObject({ level, says: expect.stringContaining(words), remedy: expect.stringContaining('clock') })
    server.closeAllConnections()
    server.close()
  })

  test.each([
    ['of another version that speaks the same is named', { ok: true, protocol: contractVersion, version: '9.9.9' }, 'local broker version', 'pass', '9.9.9'],
    ['of a newer protocol fails', { ok: true, protocol: contractVersion + 1, version: '9.9.9' }, 'local broker version', 'fail', 'protocol'],
    ['of an older protocol fails', { ok: true, protocol: contractVersion - 1 }, 'local broker version', 'fail', 'protocol'],
    ['that tells nothing is well', {}, 'local broker', 'pass', 'answers'],
  ])('a broker %s', async (_what, health, check, level, words) => {
    const server = createServer((_request, response) => response.end(JSON.stringify(health))).listen(0, '127.0.0.1')
    await once(server, 'listening')
    await using machine = await member()
    rewrite(machine, /127\.0\.0\.1:\d+/, `127.0.0.1:${(server.address() as AddressInfo).port}`)
    expect((await examine(machine)).of(check)).toMatchObject({ level, says: expect.stringContaining(words) })
    server.closeAllConnections()
    server.close()
  })

  test('of an older protocol, a broker of this user is started anew', async () => {
    const server = createServer((_request, response) => response.end(JSON.stringify({ protocol: contractVersion - 1 }))).listen(0, '127.0.0.1')
    await once(server, 'listening')
    await using machine = await member()
    rewrite(machine, /127\.0\.0\.1:\d+/, `127.0.0.1:${(server.address() as AddressInfo).port}`)
    rewrite(machine, /"role":/, '"data": "/nowhere", "role":')
    expect((await examine(machine)).of('local broker version')).toMatchObject({ remedy: 'start it anew: claudemesh down, then claudemesh up --detach' })
    server.closeAllConnections()
    server.close()
  })

  test('the version of a broker is told', async () => {
    await using machine = await member()
    expect((await examine(machine)).of('local broker')).toMatchObject({ level: 'pass', says: expect.stringContaining('version 0.1.0') })
  })

  test('a broker here that is of another version is a warning', async () => {
    const file = join(host.home, 'broker.json')
    const before = readFileSync(file, 'utf8')
    writeFileSync(file, before.replace('"version":"0.1.0"', '"version":"0.0.9"'))
    expect((await examine(host)).of('version')).toMatchObject({
      level: 'warn',
      says: expect.stringContaining('0.0.9'),
      remedy: expect.stringContaining('claudemesh down'),
    })
    writeFileSync(file, before)
  })
})

describe('sessions that run here', () => {
  /** A live session of this machine that fares so. */
  function session(machine: Machine, vitals: object): void {
    const folder = join(machine.home, 'sessions', 's-live')
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    writeFileSync(join(folder, 'owner.pid'), String(process.pid), { mode: 0o600 })
    const well = { name: 'Bob', claude: 7, since: Date.now() - 120_000, paths: [{ path: 'socket', state: 'works', at: 1 }], waiting: 0 }
    writeFileSync(join(folder, 'vitals.json'), JSON.stringify({ ...well, ...vitals }), { mode: 0o600 })
  }
  /** What Claude Code's registry says of it. */
  function acted(machine: Machine, at: number): void {
    const folder = join(machine.folder, '.claude', 'sessions')
    mkdirSync(folder, { recursive: true })
    writeFileSync(join(folder, '7.json'), JSON.stringify({ pid: 7, status: 'idle', statusUpdatedAt: at }))
  }

  test('whose hooks fire and that messages reach pass', async () => {
    await using machine = await member()
    session(machine, { hook: { event: 'Stop', at: Date.now() } })
    const { of } = await examine(machine)
    expect(of('Bob hooks')).toMatchObject({ level: 'pass', says: expect.stringContaining('hook Stop') })
    expect(of('Bob messages')).toMatchObject({ level: 'pass', says: 'by inbox' })
  })

  test('that worked without a hook warn; that did nothing so far do not', async () => {
    await using machine = await member()
    session(machine, {})
    acted(machine, Date.now() - 120_000)
    expect((await examine(machine)).of('Bob hooks')).toMatchObject({ level: 'pass', says: 'no hook fired yet' })
    acted(machine, Date.now())
    expect((await examine(machine)).of('Bob hooks')).toMatchObject({ level: 'warn', remedy: expect.stringContaining('disableAllHooks') })
  })

  test('that nothing reaches warn, and say what waits', async () => {
    await using machine = await member()
    session(machine, { paths: [{ path: 'channel', state: 'fails', at: 1 }], waiting: 3 })
    expect((await examine(machine)).of('Bob messages')).toMatchObject({ level: 'warn', says: 'by hooks and check_messages alone (channel in vain); 3 waiting' })
  })
})
