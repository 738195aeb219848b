import { createBroker, type Broker, type Bus, type Meter, type Store } from '@claudemesh/broker'
import { openStore } from '@claudemesh/drivers'
import type { Clock } from '@claudemesh/protocol'
import { inject } from 'vitest'
import { Peer, TestMesh, type Frame, type PeerOptions } from '../broker/kit.ts'
import { TestClock } from '../harness/clock.ts'
import { postgresUrl } from '../harness/postgres.ts'
import type { Meeting } from './buses.ts'

/** Two brokers, `a` and `b`, on one PostgreSQL and one bus, with a clock that the test owns. */
export interface Cluster<C extends Clock = Clock> extends AsyncDisposable {
  readonly clock: C
  readonly a: Broker
  readonly b: Broker
  readonly store: string
  mesh(): Promise<TestMesh>
}

interface Options<C extends Clock> {
  /** Stands between the second broker and its bus. */
  readonly through?: (bus: Bus) => Bus
  /** Of the second broker. */
  readonly meter?: Meter
  /** Time that the test moves, unless given. */
  readonly clock?: C
}

/** Starts two brokers. */
export async function cluster<C extends Clock = TestClock>(meet: () => Promise<Meeting>, options: Options<C> = {}): Promise<Cluster<C>> {
  await using stack = new AsyncDisposableStack()
  const url = await postgresUrl(inject('postgres'))
  const clock = (options.clock ?? new TestClock()) as C
  const meeting = stack.use(await meet())
  const start = async (name: string, between: (bus: Bus) => Bus, meter?: Meter) => {
    const store = stack.use(await openStore(url))
    const bus = stack.use(await meeting.open())
    return stack.use(await node(store, between(bus), clock, name, meter))
  }
  const a = await start('a', (bus) => bus)
  const b = await start('b', options.through ?? ((bus) => bus), options.meter)
  const running = stack.move()
  return { clock, a, b, store: url, mesh: () => new TestMesh(a.url, clock).create(), [Symbol.asyncDispose]: () => running.disposeAsync() }
}

/** A broker of several on one store. */
export function node(store: Store, bus: Bus, clock: Clock, name: string, meter?: Meter): Promise<Broker> {
  return createBroker({ store, bus, clock, node: name, ...(meter ? { meter } : {}) })
}

/** The same mesh as its members see it through another node. */
export function through(broker: Broker, mesh: TestMesh): TestMesh {
  const seen = new TestMesh(broker.url, mesh.clock)
  return Object.assign(seen, { root: mesh.root, admin: mesh.admin, id: mesh.id, adminCert: mesh.adminCert, policy: mesh.policy })
}

/** A peer of a mesh that is connected at this node. */
export function peerAt(broker: Broker, mesh: TestMesh, name: string, options: Partial<PeerOptions> = {}): Promise<Peer> {
  return through(broker, mesh).peer(name, options)
}

/** The same session at another node. */
export async function moved(peer: Peer, to: Broker): Promise<Frame> {
  Object.assign(peer, { mesh: through(to, peer.mesh) })
  return peer.connect()
}

/** Resolves once this peer was told that the other is there, connected or not. */
export async function knows(peer: Peer, other: Peer, connected = true): Promise<Frame> {
  const frame = await peer.wire.next((update) => {
    const told = update['peer'] as Frame | undefined
    return update.type === 'peer_update' && told?.['sessionPubkey'] === other.key && told['connected'] === connected
  })
  return frame['peer'] as Frame
}

/** The peers as a peer's own node lists them: session key to whether it is connected. */
export async function roster(peer: Peer): Promise<Record<string, boolean>> {
  const list = await peer.wire.ask({ type: 'list_peers' })
  return Object.fromEntries((list['peers'] as Frame[]).map((found) => [found['sessionPubkey'], found['connected'] as boolean]))
}
