import { createBroker, type Broker, type BrokerOptions } from '@claudemesh/broker'
import { createMesh, enrol, Mesh, type ConnectOptions, type CreatedMesh, type Dial, type GroupRole, type Identity } from '@claudemesh/client'
import { nodeDial, nodeRandom } from '@claudemesh/client/node'
import { ready, sessionKey, type SessionKey } from '@claudemesh/crypto'
import { TestClock } from './clock.ts'
import { change, record } from './events.ts'
import { Line } from './line.ts'
import { testStore } from './store.ts'

export interface PeerOptions {
  readonly role?: string
  readonly groups?: readonly GroupRole[]
  readonly summary?: string
  /** A member made before; a fresh one unless given. */
  readonly identity?: Identity
  readonly session?: ConnectOptions['session']
  /** Stands between the peer and the broker instead of a plain line. */
  readonly dial?: Dial
  readonly options?: Partial<ConnectOptions>
}

/** A peer of a test: a real client on a real socket, with the line it uses. */
export type TestPeer = Mesh & { readonly line: Line; readonly identity: Identity; readonly sessionKey: SessionKey }

let session = 0

/** A fresh session as the launcher makes it. */
export function newSession(incarnation = 1, key = sessionKey(nodeRandom(32))): ConnectOptions['session'] {
  return { key, incarnation, id: `session-${++session}` }
}

/** A real broker on an embedded store, a mesh of its own, and peers on a clock that the test owns. */
export class TestMesh implements AsyncDisposable {
  readonly clock: TestClock
  readonly broker: Broker
  readonly founder: CreatedMesh
  readonly peers: TestPeer[] = []
  readonly #lines: Line[] = []
  /** A link that any number of members may join with. */
  readonly link: string

  constructor(clock: TestClock, broker: Broker, founder: CreatedMesh, link: string) {
    this.clock = clock
    this.broker = broker
    this.founder = founder
    this.link = link
  }

  get url(): string {
    return `${this.broker.url}/ws`
  }

  /** A new member of the mesh, enrolled with the link. */
  member(name: string): Promise<Identity> {
    return enrol({ link: this.link, name, clock: this.clock, dial: nodeDial, random: nodeRandom })
  }

  /** A line to the broker and a dialler that uses it; the client still signs the broker's own address. */
  async line(): Promise<{ line: Line; dial: Dial }> {
    const line = await Line.to(this.broker.port)
    this.#lines.push(line)
    return { line, dial: (_url, events) => nodeDial(`ws://127.0.0.1:${line.port}/ws`, events) }
  }

  /** The options with which a peer of this name connects. */
  async options(name: string, o: PeerOptions = {}): Promise<ConnectOptions & { line: Line }> {
    const identity = o.identity ?? (await this.member(name))
    const { line, dial } = await this.line()
    return {
      line,
      url: this.url,
      identity,
      session: o.session ?? newSession(),
      name,
      ...(o.role === undefined ? {} : { role: o.role }),
      ...(o.groups === undefined ? {} : { groups: o.groups }),
      ...(o.summary === undefined ? {} : { summary: o.summary }),
      clock: this.clock,
      dial: o.dial ?? dial,
      random: nodeRandom,
      ...o.options,
    }
  }

  /** A connected peer, known to all peers that were there before. */
  async peer(name: string, o: PeerOptions = {}): Promise<TestPeer> {
    const options = await this.options(name, o)
    const mesh = await Mesh.connect(options)
    record(mesh)
    const peer: TestPeer = Object.assign(mesh, { line: options.line, identity: options.identity, sessionKey: options.session.key })
    const others = this.peers.filter((other) => other.connection.phase === 'ready' && !other.line.frozen)
    this.peers.push(peer)
    await Promise.all(others.map((other) => known(other, peer)))
    return peer
  }

  /** Moves time on in steps, and lets pings and what follows from them travel after each. */
  async advance(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= 5000) {
      this.clock.advance(Math.min(5000, left))
      await this.settle()
    }
  }

  /** Waits until every peer's connection stands still and all frames sent so far were handled on both ends. */
  async settle(): Promise<void> {
    await Promise.all(this.peers.filter((peer) => !peer.line.frozen).map((peer) => atRest(peer)))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { line } of this.peers) if (line.frozen) line.cut()
    await Promise.all(this.peers.map((peer) => peer.close()))
    await Promise.all(this.#lines.map((line) => line[Symbol.asyncDispose]()))
    await this.broker[Symbol.asyncDispose]()
  }
}

async function known(other: TestPeer, peer: TestPeer): Promise<void> {
  while (!other.peers().some((seen) => seen.session === peer.me.session)) await change(other, 'peer')
}

async function atRest(peer: TestPeer): Promise<void> {
  while (peer.connection.phase === 'dialing' || peer.connection.phase === 'greeting') await change(peer, 'connection')
  // Answered after everything that was sent before on the same socket.
  if (peer.connection.phase === 'ready') await Promise.all([1, 2].map(() => peer.calls.session.getPolicy({}))).catch(() => {})
}

/** `await using mesh = await testMesh()`: a broker of its own, a mesh of its own, one embedded store per test file. */
export async function testMesh(options: { clock?: TestClock } & Pick<BrokerOptions, 'tap' | 'rates'> = {}): Promise<TestMesh> {
  await ready()
  const { clock = new TestClock(), ...others } = options
  const broker = await createBroker({ store: await testStore(), port: 0, clock, ...others })
  const founder = await createMesh({ url: `${broker.url}/ws`, slug: 'dev-team', name: 'Founder', clock, dial: nodeDial, random: nodeRandom })
  await using admin = await Mesh.connect({
    url: `${broker.url}/ws`,
    identity: founder,
    session: newSession(),
    name: 'Founder',
    clock,
    dial: nodeDial,
    random: nodeRandom,
  })
  const { link } = await admin.invites.create({ max: 1000, expiresMs: 30 * 86_400_000 })
  await admin.close({ bye: true })
  return new TestMesh(clock, broker, founder, link)
}
