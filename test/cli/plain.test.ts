import { existsSync, mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { PlainFolder } from '../../apps/cli/src/launch/plain-folder.ts'
import { Machine, type Running } from './machine.ts'

let machine: Machine
beforeAll(async () => {
  machine = await Machine.up()
})
afterAll(() => machine[Symbol.asyncDispose]())

let serial = 0
/** An MCP server as a plain Claude Code starts it: that is this process. */
class Server {
  readonly running: Running

  constructor(env: Record<string, string> = {}) {
    this.running = machine.start(['mcp', '--name', 'Plain'], { open: true, env })
    this.send('initialize', { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'test', version: '1' } })
  }

  private send(method: string, params: object): number {
    const id = ++serial
    this.running.write(`${JSON.stringify({ jsonrpc: '2.0', id, method, params })}\n`)
    return id
  }

  async call(name: string, input: object = {}): Promise<string> {
    const id = this.send('tools/call', { name, arguments: input })
    return (await this.running.printed(new RegExp(`^.*"id":${id}\\b.*$`, 'm')))[0]
  }

  async kill(): Promise<void> {
    await this.running.stop('SIGKILL')
  }

  async end(): Promise<void> {
    this.running.end()
    await this.running.ended
  }
}

const folder = () => join(machine.home, 'sessions', `c-${process.pid}`)
const card = async (env: Record<string, string> = {}) => (await machine.run(['card'], { env: { CLAUDE_PID: String(process.pid), ...env } })).out

test('a server that follows a crashed one is the same peer by name, groups and summary, under a new key; what it knows goes with the session', async () => {
  await using bob = await machine.session('Bob')
  const first = new Server()
  await first.call('join_group', { name: 'frontend', role: 'lead' })
  await first.call('set_summary', { summary: 'mends the parser' })
  const before = await first.call('list_peers')
  await first.kill()
  const second = new Server()
  const after = await second.call('list_peers')
  expect(after).toMatch(/frontend[^]*mends the parser/)
  const key = (text: string) => /\\"key\\": \\"([^"\\]+)/.exec(text)?.[1]
  expect(key(after)).not.toBe(key(before))
  const id = (
    await bob.send({
      to:
        bob
          .peers()
          .find((peer) => peer.name === 'Plain' && peer.connected)
          ?.fingerprint.replace(' ', '') ?? '',
      message: 'hello',
    })
  ).id
  while (!(await second.call('check_messages')).includes('hello')) await bob.calls.session.getPolicy({})
  expect(readFileSync(join(folder(), 'ledger.jsonl'), 'utf8')).toContain(id)
  const files = readdirSync(folder())
  expect(files.map((name) => statSync(join(folder(), name)).mode & 0o777)).toEqual(files.map(() => 0o600))
  await second.end()
  expect(existsSync(folder())).toBe(false)
})

test('its card is printed when its model may have forgotten, and only by the Claude Code it belongs to', async () => {
  const server = new Server()
  await server.call('list_peers')
  expect(await card()).toMatch(/^In the claudemesh mesh you are Plain, status idle/)
  expect(await card({ CLAUDE_PID: '1' })).toBe('')
  expect(await card({ CLAUDE_PID: '../x' })).toBe('')
  // The plugin of the launch prints its own.
  expect(await card({ CLAUDEMESH_SESSION: '/somewhere' })).toBe('')
  await server.end()
})

test('`claudemesh continue` reaches it, and `claudemesh status` shows how it fares', async () => {
  await using ann = await machine.session('Ann')
  const server = new Server()
  await server.call('list_peers')
  await server.call('hook_event', { event: 'UserPromptSubmit', prompt: 'hi' })
  const held = new Promise<void>((resolve) => ann.on('delivery', (update) => update.held && resolve()))
  await ann.send({ to: 'Plain', message: 'round and round', hops: 99 })
  await held
  expect(await server.call('hook_event', { event: 'PostToolUse' })).toContain('claudemesh continue')
  const { sessions } = await machine.json<{ sessions: { name: string; hook: { event: string }; paths: object[] }[] }>(['status'])
  expect(sessions).toMatchObject([{ name: 'Plain', hook: { event: 'UserPromptSubmit' }, paths: [{ path: 'socket', state: 'untried' }] }])
  await machine.json(['continue'])
  const shown = async (): Promise<string> => {
    const answer = await server.call('hook_event', { event: 'PostToolUse' })
    return answer.includes('round and round') ? answer : shown()
  }
  expect(await shown()).toContain('additionalContext')
  await server.end()
})

describe('the folder', () => {
  const home = () => join(machine.folder, `home-${++serial}`)

  test('is for one server at a time', () => {
    const at = home()
    using mine = PlainFolder.take(at, process.pid)
    expect(mine?.path).toBe(join(at, 'sessions', `c-${process.pid}`))
    writeFileSync(join(mine?.path ?? '', 'server.pid'), String(process.ppid))
    expect(PlainFolder.take(at, process.pid)).toBeUndefined()
  })

  test('of an earlier process with the same id is another session’s', () => {
    const at = home()
    const earlier = join(at, 'sessions', `c-${process.pid}`)
    mkdirSync(earlier, { recursive: true, mode: 0o700 })
    writeFileSync(join(earlier, 'owner.mark'), 'another time')
    writeFileSync(join(earlier, 'attributes.json'), '{}')
    using mine = PlainFolder.take(at, process.pid)
    expect(readdirSync(mine?.path ?? '').toSorted()).toEqual(['owner.mark', 'owner.pid', 'server.pid'])
  })

  test('is done without where none can be made', () => {
    const at = home()
    writeFileSync(at, 'a file')
    expect(PlainFolder.take(at, process.pid)).toBeUndefined()
  })
})
