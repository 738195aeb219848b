import { Mesh } from '@claudemesh/client'
import { nodeDial, nodeRandom } from '@claudemesh/client/node'
import { times } from '@claudemesh/protocol'
import { describe, expect, test } from 'vitest'
import { TestClock } from '../harness/clock.ts'
import { next, seen } from '../harness/events.ts'
import { newSession, testMesh, type TestPeer } from '../harness/mesh.ts'
import { verifies } from '../harness/verifies.ts'

const named = (peer: TestPeer, name: string) => peer.peers().find((p) => p.name === name)

describe('peers', () => {
  test('come and go while the mesh stays, and leave none of their attributes behind', async () => {
    verifies('peers.come-and-go', 'peers.attributes-end-with-session', 'peers.member-id-persists', 'peers.summary', 'groups.in-list-peers')
    await using mesh = await testMesh()
    const alice = await mesh.peer('Alice')
    const bob = await mesh.peer('Bob', { role: 'dev', groups: [{ name: 'frontend', role: 'lead' }, { name: 'ops' }] })
    await bob.setSummary('Implementing auth UI')
    await bob.setStatus('dnd')
    await mesh.settle()
    const before = named(alice, 'Bob')
    expect(before).toMatchObject({ role: 'dev', groups: [{ name: 'frontend', role: 'lead' }, { name: 'ops' }], summary: 'Implementing auth UI', status: 'dnd' })

    await bob.close({ bye: true })
    expect(await next(alice, 'peer', (event) => event.change === 'left')).toMatchObject({ session: bob.me.session })
    expect(alice.peers()).toEqual([])

    await mesh.peer('Robert', { identity: bob.identity })
    const after = named(alice, 'Robert')
    expect(after).toMatchObject({ groups: [], status: 'idle', member: before?.member })
    expect(after?.role).toBeUndefined()
    expect(after?.summary).toBeUndefined()
    expect(after?.session).not.toBe(before?.session)
  })

  test('two sessions of one member have keys of their own and write to each other', async () => {
    verifies('identity.same-member-sessions', 'routing.session-keys')
    await using mesh = await testMesh()
    const desk = await mesh.peer('Desk')
    const laptop = await mesh.peer('Laptop', { identity: desk.identity })
    const alice = await mesh.peer('Alice')
    expect(laptop.me.memberId).toBe(desk.me.memberId)
    expect(laptop.me.session).not.toBe(desk.me.session)

    await desk.send({ to: 'Laptop', message: 'from the desk' })
    await alice.send({ to: 'Desk', message: 'for the desk alone' })
    expect(await next(laptop, 'message')).toMatchObject({ text: 'from the desk', from: { name: 'Desk', session: desk.me.session } })
    expect(await next(desk, 'message')).toMatchObject({ text: 'for the desk alone' })
    await mesh.settle()
    expect(seen(laptop, 'message')).toEqual([])
  })

  test('who cannot prove a member of this mesh does not get in', async () => {
    verifies('identity.member-authorizes')
    await using mesh = await testMesh()
    await using other = await testMesh()
    const stranger = await other.member('Mallory')
    const alice = await mesh.member('Alice')
    const attempts = [
      { ...stranger, mesh: alice.mesh, root: alice.root },
      { ...alice, member: stranger.member },
      { ...alice, chain: stranger.chain },
    ]
    for (const identity of attempts) {
      const connecting = Mesh.connect({
        url: mesh.url,
        identity,
        session: newSession(),
        name: 'Mallory',
        clock: mesh.clock,
        dial: nodeDial,
        random: nodeRandom,
      })
      await expect(connecting).rejects.toMatchObject({ code: expect.stringMatching(/^(unauthorized|bad_chain|bad_token)$/) })
    }
    const witness = await mesh.peer('Witness')
    expect(witness.peers()).toEqual([])
  })

  test('a presence that misses three pings is marked disconnected, and in the end leaves the list', async () => {
    verifies('presence.stale-after-3-pings')
    await using mesh = await testMesh()
    const alice = await mesh.peer('Alice')
    // Suspended, like a laptop that sleeps: no time passes for it, so it does not dial again.
    const bob = await mesh.peer('Bob', { options: { clock: new TestClock(mesh.clock.now()) } })
    bob.line.freeze()
    await mesh.advance(times.stale - times.ping)
    expect(named(alice, 'Bob')?.connected).toBe(true)
    await mesh.advance(times.ping * 2)
    while (named(alice, 'Bob')?.connected) await next(alice, 'peer')
    expect(named(alice, 'Bob')).toMatchObject({ connected: false })
    await mesh.advance(times.stale)
    expect(await next(alice, 'peer', (event) => event.change === 'stale')).toMatchObject({ session: bob.me.session })
    expect(alice.peers()).toEqual([])
    bob.line.cut()
  })

  test('a message names its sender from the signed presence, also the first one of a peer who just came', async () => {
    verifies('names.of-senders')
    await using mesh = await testMesh()
    const alice = await mesh.peer('Alice')
    const bob = await mesh.peer('Bob')
    await bob.send({ to: '*', message: 'hello world' })
    const { from } = await next(alice, 'message')
    expect(from).toMatchObject({ name: 'Bob', session: bob.me.session, member: { id: bob.me.memberId, name: 'Bob' }, fingerprint: bob.me.fingerprint })
  })
})
