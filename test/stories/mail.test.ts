import { join } from 'node:path'
import type { Mesh, ReceivedMessage } from '@claudemesh/client'
import { toB64u } from '@claudemesh/crypto'
import { nodeRandom } from '@claudemesh/client/node'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { loadConfig } from '../../apps/cli/src/home/config.ts'
import { pickMesh } from '../../apps/cli/src/home/meshes.ts'
import { HandoverServer } from '../../apps/cli/src/launch/handover.ts'
import { Machine, type Running } from '../cli/machine.ts'

interface Up {
  readonly port: number
  readonly pid: number
}

// Alice's machine runs the broker; Carol and Bob are other people on machines of their own.
let alice: Machine
let carol: Machine
let bob: Machine
let broker: Up

beforeAll(async () => {
  alice = await Machine.up()
  broker = await alice.json<Up>(['up'])
  const { command } = await alice.json<{ command: string }>(['invite', '--max', '2'])
  const link = command.split(' ').at(-1) as string
  carol = new Machine()
  bob = new Machine()
  await carol.json(['join', link, '--name', 'Carol'])
  await bob.json(['join', link, '--name', 'Bob'])
})
afterAll(async () => {
  for (const machine of [carol, bob, alice]) await machine[Symbol.asyncDispose]()
})

// Processes are started and killed, and the machine may be busy.
const patience = 180_000

const killBroker = () => process.kill(broker.pid, 'SIGKILL')
const restartBroker = async () => (broker = await alice.json<Up>(['up', '--port', String(broker.port), '--detach']))

/** As many messages as said, in the order of arrival. */
async function received(mesh: Mesh, n: number): Promise<ReceivedMessage[]> {
  while (mesh.inbox.size < n) {
    await new Promise<void>((resolve) => {
      const off = mesh.on('message', () => {
        off()
        resolve()
      })
    })
  }
  return mesh.inbox.drain()
}

/** An MCP server whose tools are called line by line. */
class Server {
  readonly running: Running
  #id = 1

  constructor(args: string[]) {
    this.running = alice.start(['mcp', ...args], { open: true })
    this.#write('initialize', { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'test', version: '1' } })
  }

  async call(name: string, input: object = {}): Promise<string> {
    const id = this.#write('tools/call', { name, arguments: input })
    const [line] = await this.running.printed(new RegExp(`^.*"id":${id}[,}].*$`, 'm'))
    return line
  }

  #write(method: string, params: object): number {
    this.running.write(`${JSON.stringify({ jsonrpc: '2.0', id: ++this.#id, method, params })}\n`)
    return this.#id
  }
}

describe('mail for the absent', () => {
  test('waits for the member’s inbox; her one-shot commands leave it there', async () => {
    const said = await alice.refusal(['send', 'Carol', 'the vault opens at nine'])
    expect(said).toMatchObject({ code: 'unknown_target', message: expect.stringContaining('--durable') })
    const sent = await alice.json<{ id: string }>(['send', 'Carol', 'the vault opens at nine', '--durable'])
    expect(sent).toMatchObject({ rung: 'stored', queued: 1, recipients: [], mail: [{ name: 'Carol' }] })
    await carol.json(['peers'])
    expect((await alice.run(['trace', sent.id])).out).toMatch(/^Carol's next session\n.*stored\n {2}mail; it waits for the member’s next session/)
    expect((await carol.run(['inbox'])).out).toMatch(/ → Carol {2}durable\n {2}the vault opens at nine\n$/)
    expect((await alice.run(['trace', sent.id])).out).toContain('surfaced')
    // Shown once.
    await alice.json(['send', 'Carol', 'and at ten', '--durable'])
    expect(await carol.json(['inbox'])).toMatchObject({ text: 'and at ten', durable: true })
  })

  test('is there when a model’s session starts, framed as mail', async () => {
    await alice.json(['send', 'Bob', 'bring the van', '--durable'])
    const server = bob.start(['mcp', '--name', 'Driver'], { open: true })
    const call = (id: number, method: string, params: object) => server.write(`${JSON.stringify({ jsonrpc: '2.0', id, method, params })}\n`)
    call(1, 'initialize', { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'test', version: '1' } })
    for (let id = 2; !server.out.includes('bring the van'); id++) {
      call(id, 'tools/call', { name: 'check_messages', arguments: {} })
      await server.printed(new RegExp(`"id":${id}[,}]`))
    }
    expect(server.out).toMatch(/mail=\\"durable\\"[^>]*>\\nbring the van/)
    server.end()
    await server.ended
  })
})

describe('the outbox', () => {
  test(
    'what a session sent while the broker was dead survives the death of its own MCP server too',
    async () => {
      await using listener = await bob.session('Bob')
      const server = new Server(['--name', 'Plain'])
      expect(await server.call('list_peers')).toContain('Bob')
      killBroker()
      const answers: string[] = []
      for (const message of ['one', 'two', 'three']) answers.push(await server.call('send_message', { to: 'Bob', message }))
      for (const answer of answers) expect(answer).toContain('not stored yet: waits on this machine')
      await server.running.stop('SIGKILL')
      const { waiting } = await alice.json<{ waiting: { id: string; to: string[] }[] }>(['outbox'])
      expect(waiting).toMatchObject([{ to: ['Bob'] }, { to: ['Bob'] }, { to: ['Bob'] }])
      expect((await alice.run(['status'])).out).toContain('3 in the outbox')
      expect((await alice.run(['trace', waiting[0]?.id ?? ''])).out).toContain('waits on this machine until the broker is back')

      await restartBroker()
      // Two commands at once: any of them takes the outbox along.
      await Promise.all([alice.json(['peers']), alice.json(['peers'])])
      const messages = await received(listener, 3)
      expect(messages).toMatchObject(['one', 'two', 'three'].map((text) => ({ text, from: { name: 'Plain' } })))
      await alice.json(['peers'])
      expect(listener.inbox.size).toBe(0)
      expect(await alice.json(['outbox'])).toMatchObject({ waiting: [], failed: [] })
      expect((await alice.run(['trace', waiting[0]?.id ?? ''])).out).toMatch(/outbox\n.*stored\n.*received/)
    },
    patience,
  )

  test(
    'a respawned MCP server is the same session and sends what the killed one left before its own',
    async () => {
      await using listener = await bob.session('Bob')
      const path = join(alice.folder, 'key.sock')
      const entry = pickMesh(loadConfig(alice.home), undefined)
      const session = { seed: toB64u(nodeRandom(32)), sessionId: 's', home: alice.home, mesh: entry, name: 'Launched', groups: [] }
      await using keys = await HandoverServer.listen(path, session)
      void keys
      const killed = new Server(['--handover', path])
      expect(await killed.call('list_peers')).toContain('Bob')
      await killed.call('send_message', { to: 'Bob', message: 'zero' })
      killBroker()
      expect(await killed.call('send_message', { to: 'Bob', message: 'one' })).toContain('not stored yet')
      await killed.running.stop('SIGKILL')
      const next = new Server(['--handover', path])
      await restartBroker()
      while (!(await next.call('list_peers')).includes('Bob')) await listener.calls.session.getPolicy({})
      expect(await next.call('send_message', { to: 'Bob', message: 'two' })).toContain('stored for 1')
      const messages = await received(listener, 3)
      expect(messages.map(({ text }) => text)).toEqual(['zero', 'one', 'two'])
      expect(new Set(messages.map(({ from }) => from.session)).size).toBe(1)
      next.running.end()
      await next.running.ended
    },
    patience,
  )

  test(
    'send without a broker: mail for a known member waits, a name is not known to be online; clear drops what waits',
    async () => {
      await alice.json(['send', 'Carol', 'known', '--durable'])
      killBroker()
      expect(await alice.refusal(['send', 'Bob', 'x'])).toMatchObject({ exit: 1, code: 'unavailable', message: expect.stringContaining('--durable') })
      expect(await alice.json(['send', 'Carol', 'unplugged', '--durable'])).toMatchObject({ outbox: true, queued: 0, mail: [{ name: 'Carol' }] })
      const second = await alice.run(['send', 'Carol', 'never mind', '--durable'])
      expect(second).toMatchObject({ code: 0, out: expect.stringMatching(/^not stored yet for Carol's next session: waits on this machine/) })
      expect((await alice.run(['doctor'])).out).toContain('2 messages wait for the broker')
      const { waiting } = await alice.json<{ waiting: { id: string }[] }>(['outbox'])
      expect(waiting).toHaveLength(2)
      expect(await alice.json(['outbox', 'clear'])).toEqual({ dropped: waiting.map(({ id }) => id) })
      expect(await alice.json(['outbox'])).toMatchObject({ waiting: [], failed: [{ reason: 'cleared' }, { reason: 'cleared' }] })
      expect((await alice.run(['outbox', 'burn'])).code).toBe(2)
      await restartBroker()
    },
    patience,
  )
})
