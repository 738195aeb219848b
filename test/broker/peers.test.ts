import { expect, test } from 'vitest'
import { verifies } from '../harness/verifies.ts'
import { Peer, type Frame } from './kit.ts'
import { onEveryStore } from './world.ts'

const about = (peer: Peer) => (frame: Frame) => frame.type === 'peer_update' && (frame['peer'] as Frame)['sessionPubkey'] === peer.key
const keysOf = (list: Frame) => (list['peers'] as Frame[]).map((peer) => peer['sessionPubkey'])

onEveryStore((world) => {
  test('list_peers names every live session with what proves it, shared tokens once', async () => {
    verifies('wire.list-peers', 'identity.same-member-sessions')
    const mesh = await world().mesh()
    await using alice = await mesh.peer('Alice', { groups: [{ name: 'frontend', role: 'lead' }] })
    await using second = await mesh.peer('Alice 2')
    const list = await alice.wire.ask({ type: 'list_peers' })
    expect(keysOf(list)).toEqual([alice.key, second.key].toSorted())
    const tokens = list['tokens'] as string[]
    expect(tokens).toHaveLength(3)
    const mine = (list['peers'] as (Frame & { chain: number[] })[]).find((peer) => peer['sessionPubkey'] === alice.key)
    expect(mine?.chain.map((i) => tokens[i])).toEqual(alice.chain)
    expect(mine).toMatchObject({ status: 'idle', connected: true })
  })

  test('more than 200 peers come in pages, each once', async () => {
    const mesh = await world().mesh()
    const peers = await Promise.all(Array.from({ length: 230 }, (_, i) => mesh.peer(`Peer ${i}`)))
    const [first] = peers as [Peer]
    const seen: unknown[] = []
    for (let cursor: unknown; ;) {
      const page: Frame = await first.wire.ask({ type: 'list_peers', ...(cursor === undefined ? {} : { cursor }) })
      expect(keysOf(page).length).toBeLessThanOrEqual(200)
      seen.push(...keysOf(page))
      cursor = page['next']
      if (cursor === undefined) break
    }
    expect(seen).toEqual(peers.map((peer) => peer.key).toSorted())
    await Promise.all(peers.map((peer) => peer[Symbol.asyncDispose]()))
  })

  test('a join costs every peer one frame', async () => {
    const mesh = await world().mesh()
    await using alice = await mesh.peer('Alice')
    await using bob = await mesh.peer('Bob')
    await alice.wire.next(about(bob))
    await alice.wire.ask({ type: 'get_policy' })
    expect(alice.wire.seen.filter(about(bob))).toHaveLength(1)
    expect(bob.wire.seen.filter(about(bob))).toEqual([])
  })

  test('status, summary and groups reach the others, the latter two as signed', async () => {
    verifies('wire.set-status', 'wire.set-summary', 'wire.groups')
    const mesh = await world().mesh()
    await using alice = await mesh.peer('Alice')
    await using bob = await mesh.peer('Bob')
    await alice.wire.next(about(bob))
    expect(await bob.wire.ask({ type: 'set_status', status: 'dnd' })).toMatchObject({ type: 'ok' })
    expect(await alice.wire.next(about(bob))).toMatchObject({ peer: { status: 'dnd' } })
    const summary = bob.presence({ summary: 'Reviewing' })
    expect(await bob.wire.ask({ type: 'set_summary', summary: 'Reviewing', presence: summary })).toMatchObject({ type: 'ok' })
    expect(await alice.wire.next(about(bob))).toMatchObject({ peer: { presence: summary } })
    bob.groups = [{ name: 'reviewers', role: 'lead' }]
    const joined = bob.presence()
    expect(await bob.wire.ask({ type: 'join_group', name: '@Reviewers', role: 'lead', presence: joined })).toMatchObject({ type: 'ok' })
    expect(await alice.wire.next(about(bob))).toMatchObject({ peer: { presence: joined } })
    expect(await alice.send([bob.key], 'to the group', { targetSpec: '@reviewers', shared: true })).toMatchObject({ queued: 1, gone: [] })
    bob.groups = []
    expect(await bob.wire.ask({ type: 'leave_group', name: 'reviewers', presence: bob.presence() })).toMatchObject({ type: 'ok' })
    expect(await alice.send([bob.key], 'to the group', { targetSpec: '@reviewers', shared: true })).toMatchObject({ queued: 0, gone: [bob.key] })
  })

  test.each<[string, (bob: Peer, alice: Peer) => Record<string, unknown>]>([
    ['a summary that the presence does not carry', (bob) => ({ type: 'set_summary', summary: 'Other', presence: bob.presence({ summary: 'Reviewing' }) })],
    ['a group that the presence does not carry', (bob) => ({ type: 'join_group', name: 'backend', presence: bob.presence() })],
    ['a role that the presence does not carry', (bob) => ({ type: 'join_group', name: 'frontend', role: 'lead', presence: bob.presence() })],
    ['leaving a group that the presence still carries', (bob) => ({ type: 'leave_group', name: 'frontend', presence: bob.presence() })],
    ['the presence of another session', (_, alice) => ({ type: 'set_summary', summary: 'x', presence: alice.presence({ summary: 'x' }) })],
    ['a presence that is not newer', (bob) => ({ type: 'set_summary', summary: '', presence: (bob.seq--, bob.presence()) })],
  ])('refuses %s', async (_, change) => {
    const mesh = await world().mesh()
    await using alice = await mesh.peer('Alice')
    await using bob = await mesh.peer('Bob', { groups: [{ name: 'frontend' }] })
    expect(await bob.wire.ask(change(bob, alice))).toMatchObject({ type: 'error', code: 'bad_presence' })
    expect(await bob.wire.ask({ type: 'get_policy' })).toMatchObject({ type: 'policy' })
  })

  test('a session that drops lingers, and returns under the same key', async () => {
    verifies('encryption.stable-session-key')
    const mesh = await world().mesh()
    await using alice = await mesh.peer('Alice')
    await using bob = await mesh.peer('Bob')
    await alice.wire.next(about(bob))
    await bob.drop()
    expect(await alice.wire.next(about(bob))).toMatchObject({ peer: { connected: false } })
    world().broker.clock.advance(60_000)
    await bob.connect()
    expect(await alice.wire.next(about(bob))).toMatchObject({ peer: { connected: true } })
    world().broker.clock.advance(60_000)
    expect(keysOf(await alice.wire.ask({ type: 'list_peers' }))).toContain(bob.key)
    expect(alice.wire.seen.filter((frame) => frame.type === 'peer_gone')).toEqual([])
  })

  test('a connection that answers no ping is dropped after three', async () => {
    const mesh = await world().mesh()
    await using alice = await mesh.peer('Alice')
    const bob = await mesh.peer('Bob')
    await alice.wire.next(about(bob))
    bob.wire.ws.pause()
    for (let i = 0; i < 4; i++) {
      world().broker.clock.advance(30_000)
      await alice.wire.ask({ type: 'get_policy' })
    }
    expect(await alice.wire.next(about(bob))).toMatchObject({ peer: { connected: false } })
    bob.wire.ws.terminate()
  })
})
