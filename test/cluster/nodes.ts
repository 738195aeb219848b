import { createBroker, type Broker, type Bus, type Store } from '@claudemesh/broker'
import type { Clock } from '@claudemesh/protocol'
import { Peer, TestMesh, type Frame, type PeerOptions } from '../broker/kit.ts'

/** A broker of several on one store. */
export function node(store: Store, bus: Bus, clock: Clock, name?: string): Promise<Broker> {
  return createBroker({ store, bus, clock, ...(name === undefined ? {} : { node: name }) })
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
export async function knows(peer: Peer, other: Peer, connected = true): Promise<void> {
  await peer.wire.next((frame) => {
    const told = frame['peer'] as Frame | undefined
    return frame.type === 'peer_update' && told?.['sessionPubkey'] === other.key && told['connected'] === connected
  })
}

/** The peers as a peer's own node lists them: session key to whether it is connected. */
export async function roster(peer: Peer): Promise<Record<string, boolean>> {
  const list = await peer.wire.ask({ type: 'list_peers' })
  return Object.fromEntries((list['peers'] as Frame[]).map((found) => [found['sessionPubkey'], found['connected'] as boolean]))
}
