import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { Rewake } from '@claudemesh/mcp'
import type { MessageId, Priority } from '@claudemesh/protocol'
import * as fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Kept } from '../../apps/cli/src/session/kept.ts'
import { change } from '../harness/events.ts'
import { McpClient, SessionInbox } from '../harness/mcp.ts'
import { newSession, testMesh, type TestMesh, type TestPeer } from '../harness/mesh.ts'
import { ModelledClaude } from './modelled-claude.ts'

interface Send {
  readonly from: 0 | 1
  readonly priority: Priority
  readonly long: boolean
  readonly hops: number
}
type Step =
  | Send
  | { readonly wait: number }
  | 'prompt'
  | 'tool'
  | 'check'
  | 'stop'
  | 'fail'
  | 'escape'
  | 'clear'
  | 'refuse'
  | 'listen'
  | 'drop'
  | 'keep'
  | 'block'
  | 'deaf'
  | 'dnd'
  | 'undnd'
  | 'cut'
  | 'restart'
  | 'crash'
  | 'release'

const ways = [
  { inbox: true, rewake: false, channel: 'none' },
  { inbox: true, rewake: true, channel: 'none' },
  { inbox: false, rewake: true, channel: 'dead' },
  { inbox: false, rewake: false, channel: 'live' },
  { inbox: false, rewake: false, channel: 'none' },
] as const
type Ways = (typeof ways)[number]

const send: fc.Arbitrary<Step> = fc.record({
  from: fc.constantFrom(0 as const, 1 as const),
  priority: fc.constantFrom('now' as const, 'next' as const, 'next' as const, 'low' as const),
  long: fc.integer({ min: 0, max: 7 }).map((n) => n === 0),
  // A chain that goes on too long waits for the user's word.
  hops: fc.integer({ min: 0, max: 11 }).map((n) => (n === 0 ? 99 : 0)),
})
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 10, arbitrary: send },
  { weight: 3, arbitrary: fc.record({ wait: fc.constantFrom(500, 1500, 6000, 20_000) }) },
  { weight: 9, arbitrary: fc.constantFrom<Step>('prompt', 'tool', 'tool', 'stop', 'stop') },
  { weight: 3, arbitrary: fc.constantFrom<Step>('check', 'fail', 'escape', 'clear') },
  { weight: 4, arbitrary: fc.constantFrom<Step>('refuse', 'listen', 'drop', 'keep', 'block', 'deaf') },
  { weight: 3, arbitrary: fc.constantFrom<Step>('dnd', 'undnd', 'cut', 'restart', 'crash', 'release') },
)

const phaseOf = (peer: TestPeer) => peer.connection.phase

let mesh: TestMesh
let senders: [TestPeer, TestPeer]
beforeAll(async () => {
  mesh = await testMesh()
  senders = [await mesh.peer('Alice'), await mesh.peer('Carol')]
})
afterAll(() => mesh[Symbol.asyncDispose]())

/** Bob's session under a Claude Code that a test drives. */
class Desk {
  readonly claude: ModelledClaude
  readonly sent: { readonly id: MessageId; readonly text: string; readonly long: boolean; readonly sender: TestPeer }[] = []
  /** Called surfaced before the model had read it. */
  readonly overstated: MessageId[] = []
  readonly #kept = new Kept()
  readonly #session = newSession()
  readonly #name: string
  readonly #ways: Ways
  readonly #inbox: SessionInbox | undefined
  readonly #wake: string
  #incarnation = 0
  #bob: TestPeer | undefined
  #stack = new AsyncDisposableStack()
  #mcp: McpClient | undefined
  #reading = false
  #waitings = new Set<MessageId>()
  #refusing = false

  constructor(name: string, ways: Ways, folder: string, inbox: SessionInbox | undefined) {
    this.#name = name
    this.#ways = ways
    this.#inbox = inbox
    this.#wake = join(folder, 'wake.sock')
    this.claude = new ModelledClaude({ clock: mesh.clock, folder, inbox, channel: ways.channel === 'live', ...(ways.rewake ? { wake: this.#wake } : {}) })
  }

  get bob(): TestPeer {
    if (!this.#bob) throw new Error('he is not there')
    return this.#bob
  }

  /** A server of the session, the first one or one that follows another. */
  async serve(): Promise<void> {
    const { shown, offered, transcript } = this.#kept.value
    const before = this.#bob
    const session = { ...this.#session, incarnation: ++this.#incarnation }
    const identity = before ? { identity: before.identity } : {}
    const bob = await mesh.peer(this.#name, { session, ...identity, options: { shown: shown as MessageId[] } })
    this.#bob = bob
    bob.on('surfaced', (ids) => this.#surfaced(ids))
    const record = (entry: object) => void this.#kept.take(JSON.stringify(entry))
    bob.on('surfaced', (surfaced) => record({ surfaced }))
    const stack = new AsyncDisposableStack()
    this.#stack = stack
    const rewake = this.#ways.rewake ? stack.use(await Rewake.listen(this.#wake)) : undefined
    this.#mcp = stack.use(
      await McpClient.start({
        mesh: Promise.resolve(bob),
        clock: mesh.clock,
        registry: this.claude.registry,
        ledger: () => ({ offered: offered as MessageId[], transcript, record }),
        ...(this.#inbox ? { inbox: this.#inbox } : {}),
        ...(rewake ? { rewake } : {}),
        ...(this.#ways.channel === 'none' ? {} : { channel: true }),
      }),
    )
    await this.#mcp.call('list_peers')
    await this.claude.attach(this.#mcp)
  }

  async end(): Promise<void> {
    this.claude.detach()
    await this.#stack.disposeAsync()
    await this.bob.close()
  }

  async run(one: Step): Promise<void> {
    if (typeof one === 'object') await ('wait' in one ? this.wait(one.wait) : this.#send(one))
    else await this.#act(one)
    await this.settle()
  }

  async wait(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= 1000) {
      mesh.clock.advance(Math.min(left, 1000))
      await this.settle()
    }
  }

  /** Everything under way arrives. */
  async settle(): Promise<void> {
    await mesh.settle()
    for (let i = 0; i < 20; i++) await nextTurn()
    await this.claude.pump()
    for (let i = 0; i < 5; i++) await nextTurn()
  }

  async #send({ from, priority, long, hops }: Send): Promise<void> {
    const sender = senders[from]
    const text = `message ${this.sent.length}${long ? ' word'.repeat(3000) : ''}`
    const { id } = await sender.send({ to: this.#name, message: text, priority, hops })
    this.sent.push({ id, text, long, sender })
  }

  async #act(one: Exclude<Step, object>): Promise<void> {
    const { claude } = this
    const acts: Record<Exclude<Step, object>, () => Promise<unknown> | void> = {
      prompt: () => claude.prompt(),
      tool: () => claude.tool(),
      check: () => this.check(),
      stop: () => claude.stop(),
      fail: () => claude.fail(),
      escape: () => claude.escape(),
      clear: () => claude.clear(),
      refuse: () => this.#refuse(),
      listen: () => this.listen(),
      drop: () => void (claude.dropping = true),
      keep: () => void (claude.dropping = false),
      block: () => void (claude.blocking = true),
      deaf: () => void (claude.deaf = true),
      dnd: () => this.bob.setStatus('dnd'),
      undnd: () => this.bob.setStatus(claude.busy ? 'working' : 'idle'),
      cut: () => this.bob.line.cut(),
      restart: () => this.#restart(),
      crash: () => {
        // What it would still say reaches nobody.
        this.bob.line.cut()
        return this.#restart()
      },
      release: () => this.#mcp?.handle?.release(),
    }
    await acts[one]()
  }

  async #restart(): Promise<void> {
    await this.end()
    await this.serve()
  }

  async check(): Promise<void> {
    this.#reading = true
    await this.claude.checkMessages()
    this.#reading = false
    for (const id of this.#waitings) if (!this.claude.read.has(id)) this.overstated.push(id)
    this.#waitings.clear()
  }

  #surfaced(ids: readonly MessageId[]): void {
    for (const id of ids) {
      if (this.#reading) this.#waitings.add(id)
      else if (!this.claude.read.has(id)) this.overstated.push(id)
    }
  }

  async #refuse(): Promise<void> {
    if (this.#refusing) return
    this.#refusing = true
    await this.#inbox?.refuse()
  }

  async listen(): Promise<void> {
    if (!this.#refusing) return
    this.#refusing = false
    await this.#inbox?.listen()
  }

  /** Everything is well again: what may be shown is, within a while. */
  async recover(): Promise<void> {
    const { claude } = this
    claude.dropping = claude.blocking = claude.deaf = false
    await this.listen()
    while (phaseOf(this.bob) !== 'ready') {
      mesh.clock.advance(1000)
      if (phaseOf(this.bob) !== 'ready') await change(this.bob, 'connection')
    }
    if (this.bob.me.status === 'dnd') await this.bob.setStatus(claude.busy ? 'working' : 'idle')
    await this.run('release')
    while (claude.busy) await this.run('stop')
  }

  /** Messages that must have been shown by now and were not; of a long one, and of one that the user's own hook keeps away, check_messages has the text. */
  unread(): string[] {
    const { read, begun, kept } = this.claude
    return this.sent.filter(({ id, long }) => !read.has(id) && !kept.has(id) && !(long && begun.has(id))).map(({ text }) => text.slice(0, 20))
  }
}

/** Long enough for a way that rested as long as any may. */
const patience = 40 * 60_000

let runs = 0

async function story(which: Ways, steps: readonly Step[]): Promise<void> {
  await using stack = new AsyncDisposableStack()
  const folder = await mkdtemp(join(tmpdir(), 'shown-'))
  stack.defer(() => rm(folder, { recursive: true }))
  const inbox = which.inbox ? stack.use(await SessionInbox.open()) : undefined
  const desk = new Desk(`Bob${++runs}`, which, folder, inbox)
  await desk.serve()
  stack.defer(() => desk.end())
  for (const one of steps) await desk.run(one)
  await desk.recover()

  // A turn of the user, in which what is of low priority comes as well.
  await desk.run('prompt')
  await desk.run('tool')
  for (let waited = 0; waited < patience && desk.unread().length > 0; waited += 5000) {
    await desk.run('release')
    await desk.wait(5000)
    while (desk.claude.busy) {
      await desk.run('tool')
      await desk.run('stop')
    }
    // Without a way into it nothing but the user's next prompt moves an idle session.
    if (!which.inbox) await desk.run('prompt')
  }
  expect(desk.unread()).toEqual([])
  // What is still under way comes, or is known not to.
  await desk.wait(30_000)
  while (desk.claude.busy) await desk.run('stop')
  await desk.run('prompt')
  await desk.check()
  await desk.run('stop')
  await desk.wait(6000)
  expect(desk.overstated).toEqual([])
  const times = desk.sent.map(({ id, text }) => [text.slice(0, 20), desk.claude.read.get(id)])
  expect(times).toEqual(times.map(([text]) => [text, 1]))
  expect(desk.bob.inbox.size).toBe(0)
  for (const { id, sender } of desk.sent) expect(await sender.status(id)).toMatchObject({ recipients: [{ rung: 'surfaced' }] })
}

const seed = Number(process.env['SHOWN_SEED'] ?? 20_261_121)
const numRuns = Number(process.env['SHOWN_RUNS'] ?? 30)

test('whatever happens between messages, hooks, paths and servers: the model reads each message once, and none is called surfaced before', async () => {
  await fc.assert(fc.asyncProperty(fc.constantFrom(...ways), fc.array(step, { minLength: 5, maxLength: 40 }), story), {
    seed,
    numRuns,
    endOnFailure: true,
    ...(process.env['SHOWN_PATH'] ? { path: process.env['SHOWN_PATH'] } : {}),
  })
}, 300_000)
