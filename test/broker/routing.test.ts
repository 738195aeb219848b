import { expect, test } from 'vitest'
import { Peer, type Frame, TestMesh, testBroker } from './kit.ts'

/** Numbers from a seed, so that a failure can be run again. */
function seeded(seed: number): (n: number) => number {
  return (n) => {
    seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0
    return seed % n
  }
}

/** Ten lines that say what routing means; the broker is held against them. */
function naive(peers: readonly Peer[], sender: Peer, routes: readonly string[], wrapped: readonly string[]) {
  const matches = (peer: Peer) =>
    routes.some((route) => route === '*' || route === '@all' || route === peer.key || peer.groups.some((group) => route === `@${group.name}`))
  return {
    queued: peers.filter((peer) => matches(peer) && wrapped.includes(peer.key)).length,
    missing: peers.filter((peer) => peer !== sender && matches(peer) && !wrapped.includes(peer.key)).map((peer) => peer.key),
    gone: wrapped.filter((key) => !peers.some((peer) => peer.key === key && matches(peer))),
  }
}

test.each([1, 2, 3])('whom a message reaches, misses and finds gone is what the naive matcher says (seed %i)', async (seed) => {
  await using broker = await testBroker('pglite:')
  const pick = seeded(seed)
  const mesh = await new TestMesh(broker.url, broker.clock).create()
  const names = ['frontend', 'backend', 'reviewers']
  const someGroups = () => names.filter(() => pick(2) === 0).map((name) => ({ name }))
  const peers = await Promise.all(Array.from({ length: 8 }, (_, i) => mesh.peer(`Peer ${i}`, { groups: someGroups() })))
  const stranger = new Peer(mesh, { name: 'Stranger' }).key
  for (let round = 0; round < 40; round++) {
    const sender = peers[pick(peers.length)] as Peer
    if (pick(3) === 0) {
      sender.groups = someGroups()
      expect(await sender.wire.ask({ type: 'set_summary', summary: '', presence: sender.presence() })).toMatchObject({ type: 'ok' })
    }
    const others = peers.filter((peer) => peer !== sender)
    const routes = Array.from(
      { length: 1 + pick(3) },
      () => ['*', '@all', `@${names[pick(3)]}`, (others[pick(others.length)] as Peer).key, '@nobody'][pick(5)] as string,
    )
    const wrapped = [...others.filter(() => pick(2) === 0).map((peer) => peer.key), ...(pick(4) === 0 ? [stranger] : [])]
    if (wrapped.length === 0) continue
    const ack = await sender.send(wrapped, 'x', { targetSpec: routes, shared: true })
    const told = { queued: ack['queued'], missing: (ack['missing'] as Frame[]).map((peer) => peer['sessionPubkey'] as string).toSorted(), gone: ack['gone'] }
    const expected = naive(peers, sender, routes, wrapped)
    expect(told).toEqual({ ...expected, missing: expected.missing.toSorted() })
  }
  await Promise.all(peers.map((peer) => peer[Symbol.asyncDispose]()))
})
