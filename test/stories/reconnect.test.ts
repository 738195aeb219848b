import { describe, expect, test } from 'vitest'
import { next } from '../harness/events.ts'
import { testMesh, type TestPeer } from '../harness/mesh.ts'
import { verifies } from '../harness/verifies.ts'

const away = async (peer: TestPeer, witness: TestPeer) => {
  peer.line.refuse()
  peer.line.cut()
  while (witness.peers().find((p) => p.session === peer.me.session)?.connected) await next(witness, 'peer')
}

describe('a session that loses its connection', () => {
  test('comes back with the same key, and reads what was queued for it, though the sender has left', async () => {
    verifies('encryption.stable-session-key', 'encryption.queued-opens-later', 'queue.sender-session-key')
    await using mesh = await testMesh()
    const [alice, bob] = [await mesh.peer('Alice'), await mesh.peer('Bob', { groups: [{ name: 'ops' }] })]
    const witness = await mesh.peer('Witness')
    const key = bob.me.session
    await away(bob, alice)
    expect((await alice.send({ to: 'Bob', message: 'direct' })).queued).toBe(1)
    await alice.send({ to: '@ops', message: 'to the group' })
    await alice.close({ bye: true })
    await next(witness, 'peer', (event) => event.session === alice.me.session && event.change === 'left')

    bob.line.refuse(false)
    await mesh.advance(60_000)
    const messages = [await next(bob, 'message'), await next(bob, 'message')]
    expect(messages.map((message) => message.text)).toEqual(['direct', 'to the group'])
    for (const { from, verified } of messages) expect({ ...from, verified }).toMatchObject({ session: alice.me.session, name: 'Alice', verified: true })
    expect(bob.me.session).toBe(key)
    expect(witness.peers().find((p) => p.name === 'Bob')).toMatchObject({ session: key, connected: true })
  })
})
