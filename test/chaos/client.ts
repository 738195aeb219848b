import { setTimeout as wait } from 'node:timers/promises'
import { Mesh, type Identity, type ReceivedMessage } from '@claudemesh/client'
import { nodeDial, nodeRandom } from '@claudemesh/client/node'
import { sessionKey } from '@claudemesh/crypto'
import { MeshError, systemClock, type MessageId, type Priority } from '@claudemesh/protocol'
import type { Line } from '../harness/line.ts'
import type { Dice } from './dice.ts'
import type { ClientLog, Entry, Numbered } from './log.ts'
import { patiently } from './patience.ts'

const priorities = ['now', 'next', 'low'] as const satisfies readonly Priority[]
const sharedKey = 'shared'
/** Somebody whose client waits for longer than that to dial again starts it anew. */
const impatience = 3_000

export interface ClientOptions {
  readonly url: string
  readonly identity: Identity
  readonly name: string
  readonly groups: readonly string[]
  /** Whom it may write to: names, groups and everybody. */
  readonly targets: readonly [string, ...string[]]
  readonly line: Line
  readonly dice: Dice
  /** A message was acknowledged. */
  acked(): void
}

/** A session that writes, reads and keeps a log of it, through whatever happens to its line. */
export class ChaosClient implements ClientLog {
  readonly name: string
  readonly groups: readonly string[]
  readonly entries: Entry[] = []
  readonly line: Line
  readonly #o: ClientOptions
  readonly #key = sessionKey(nodeRandom(32))
  readonly #sent = new Map<MessageId, number>()
  readonly #shown: MessageId[] = []
  #incarnation = 0
  #life: Promise<Mesh>
  #mesh: Mesh | undefined
  #n = 0
  #count = 0
  #reading = false
  #stopped = false
  #lanes: Promise<void>[] = []

  constructor(options: ClientOptions) {
    this.#o = options
    this.name = options.name
    this.groups = options.groups
    this.line = options.line
    this.#life = this.#connect()
  }

  /** The session as it is now; waits while it comes to life. */
  get mesh(): Promise<Mesh> {
    return this.#life
  }

  /** Begins to write, some messages at a time. */
  work(lanes: number): void {
    this.#lanes = Array.from({ length: lanes }, (_, i) => this.#lane(this.#o.dice.fork(`lane ${i}`)))
  }

  /** Writes no more; resolves once the last answer is there. */
  async rest(): Promise<void> {
    this.#stopped = true
    await Promise.all(this.#lanes)
  }

  /** The process of the session dies and another one takes over, with what the first had shown. */
  respawn(): void {
    const before = this.#life
    this.#life = before.then(async (mesh) => {
      this.#mesh = undefined
      this.line.refuse()
      this.line.cut()
      await mesh.close()
      this.line.refuse(false)
      return this.#connect()
    })
  }

  /** Notes what the mesh holds in the end. */
  async conclude(): Promise<void> {
    const mesh = await this.#life
    for (const [id, n] of this.#sent) {
      const { recipients } = await patiently(() => mesh.status(id))
      for (const { name, rung } of recipients) this.entries.push({ did: 'told', n, of: name, rung, final: true })
    }
    const { entries, refused } = await patiently(() => mesh.state.list())
    for (const { key, version, value } of entries) this.entries.push({ did: 'saw', key, version, value: value as number, final: true })
    for (const { reason } of refused) this.entries.push({ did: 'refused', code: reason })
  }

  async close(): Promise<void> {
    const mesh = await this.#life
    await mesh.close({ bye: true })
  }

  async #connect(): Promise<Mesh> {
    const { url, identity, name, groups, line } = this.#o
    const mesh = await Mesh.connect({
      url,
      identity,
      session: { key: this.#key, incarnation: ++this.#incarnation, id: name },
      name,
      groups: groups.map((group) => ({ name: group })),
      clock: systemClock,
      dial: (_url, events) => nodeDial(`ws://127.0.0.1:${line.port}/ws`, events),
      random: nodeRandom,
      shown: [...this.#shown],
      persist: true,
    })
    this.#mesh = mesh
    mesh.on('message', (message) => this.#received(mesh, message))
    mesh.on('refused', ({ reason }) => this.entries.push({ did: 'refused', code: reason }))
    mesh.on('delivery', ({ id, name: of, rung }) => {
      const n = this.#sent.get(id)
      if (n !== undefined) this.entries.push({ did: 'told', n, of, rung })
    })
    mesh.on('state', ({ key, version, value }) => this.entries.push({ did: 'saw', key, version, value: value as number }))
    mesh.on('stateRefused', ({ reason }) => this.entries.push({ did: 'refused', code: reason }))
    mesh.on('connection', (state) => {
      if (mesh !== this.#mesh || state.phase !== 'waiting') return
      if (state.until - systemClock.now() > impatience) this.respawn()
    })
    // What arrived before anybody listened.
    for (const message of mesh.inbox.peek()) this.#received(mesh, message)
    return mesh
  }

  #received(mesh: Mesh, message: ReceivedMessage): void {
    if (mesh !== this.#mesh) return
    this.entries.push({ did: 'received', ...numbered(message) })
    if (this.#reading) return
    this.#reading = true
    setTimeout(() => this.#read(), this.#o.dice.between(0, 60))
  }

  #read(): void {
    this.#reading = false
    const mesh = this.#mesh
    const messages = mesh?.inbox.peek() ?? []
    for (const message of messages) {
      this.entries.push({ did: 'surfaced', ...numbered(message) })
      this.#shown.push(message.id)
    }
    mesh?.surfaced(messages)
  }

  async #lane(dice: Dice): Promise<void> {
    while (!this.#stopped) {
      const what = dice.between(1, 100)
      try {
        if (what <= 85) await this.#send(dice)
        else if (what <= 93) await this.#write(dice.pick([this.name, sharedKey]))
        else await this.#look(dice.pick([this.name, sharedKey]))
      } catch (error) {
        if (!(error instanceof MeshError)) throw error
        // What the broker or the line refuses is no fault; what this session has seen with its own eyes and is gone, is.
        if (error.code === 'rolled_back') this.entries.push({ did: 'refused', code: error.code })
      }
      await wait(dice.between(20, 80))
    }
  }

  async #send(dice: Dice): Promise<void> {
    const others = this.#o.targets.filter((target) => target !== this.name) as [string, ...string[]]
    const to = dice.pick(others)
    const priority = dice.pick(priorities)
    const mesh = await this.#life
    const n = this.#n++
    const message: Numbered = { from: this.name, n, to }
    this.entries.push({ did: 'send', ...message })
    try {
      const { id, recipients } = await mesh.send({ to, message: JSON.stringify(message), priority })
      this.#sent.set(id, n)
      this.entries.push({ did: 'acked', n, recipients: recipients.map(({ name }) => name) })
      this.#o.acked()
    } catch (error) {
      this.entries.push({ did: 'unacked', n, code: error instanceof MeshError ? error.code : 'internal' })
      throw error
    }
  }

  async #write(key: string): Promise<void> {
    const mesh = await this.#life
    // No two writers of a key ever write the same value.
    const value = ++this.#count * 1000 + this.name.charCodeAt(0)
    const { version } = await mesh.state.set(key, value)
    this.entries.push({ did: 'wrote', key, version, value })
  }

  async #look(key: string): Promise<void> {
    const mesh = await this.#life
    const asked = this.entries.length
    const found = await mesh.state.get(key)
    if (found) this.entries.push({ did: 'saw', key, version: found.version, value: found.value as number, asked })
  }
}

const numbered = (message: ReceivedMessage): Numbered => JSON.parse(message.text) as Numbered
