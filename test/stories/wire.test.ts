import { describe, expect, test } from 'vitest'
import { next } from '../harness/events.ts'
import { testMesh } from '../harness/mesh.ts'
import { verifies } from '../harness/verifies.ts'
import { recording } from './frames.ts'

const bytes = (n: number) => expect.stringMatching(new RegExp(`^[A-Za-z0-9_-]{${Math.ceil((n * 4) / 3)}}$`))

describe('frames on the wire', () => {
  test('hello signs the broker’s nonce and address with both keys; hello_ack names presence and member', async () => {
    verifies('wire.hello')
    await using mesh = await testMesh()
    const { dial, sent, received } = recording((await mesh.line()).dial)
    const bob = await mesh.peer('Bobby', { dial, identity: await mesh.member('Bob'), groups: [{ name: 'ops', role: 'lead' }] })
    expect(received[0]).toMatchObject({ type: 'challenge', nonce: bytes(32) })
    const hello = sent.find((frame) => frame.type === 'hello')
    expect(hello).toMatchObject({
      meshId: bob.identity.mesh,
      memberId: bob.me.memberId,
      pubkey: bob.identity.member.publicKey,
      sessionPubkey: bob.me.session,
      displayName: 'Bobby',
      groups: [{ name: 'ops', role: 'lead' }],
      aud: mesh.broker.url,
      timestamp: mesh.clock.now(),
      signature: bytes(64),
      proof: bytes(64),
    })
    expect(Object.keys(hello ?? {})).not.toEqual(expect.arrayContaining([expect.stringMatching(/^(pid|cwd)$/)]))
    expect(received.find((frame) => frame.type === 'hello_ack')).toMatchObject({ id: hello?.['id'], presenceId: bytes(16), memberDisplayName: 'Bob' })
  })

  test('send, ack and push carry what the specification names, and the text in none of them', async () => {
    verifies('wire.send', 'wire.push', 'encryption.groups')
    await using mesh = await testMesh()
    const [a, b] = [recording((await mesh.line()).dial), recording((await mesh.line()).dial)]
    const bob = await mesh.peer('Bob', { dial: b.dial, groups: [{ name: 'ops' }] })
    await mesh.peer('Carol', { groups: [{ name: 'ops' }] })
    const alice = await mesh.peer('Alice', { dial: a.dial })
    const secret = 'canary-3141592653'
    const sends = [
      { to: 'Bob', targetSpec: bob.me.session, queued: 1, pushed: {} },
      { to: '@ops', targetSpec: '@ops', queued: 2, pushed: { wrap: bytes(88) } },
      { to: '*', targetSpec: '*', queued: 2, pushed: { wrap: bytes(88) } },
    ]
    for (const { to, targetSpec, queued, pushed } of sends) {
      const { id } = await alice.send({ to, message: secret, priority: 'low' })
      expect((await next(bob, 'message')).text).toBe(secret)
      const send = a.sent.findLast((frame) => frame.type === 'send')
      expect(send).toMatchObject({ id: bytes(16), targetSpec, priority: 'low', nonce: bytes(24), ciphertext: expect.any(String) })
      expect(a.received.findLast((frame) => frame.type === 'ack')).toMatchObject({ id: send?.['id'], messageId: id, queued })
      expect(b.received.findLast((frame) => frame.type === 'push')).toMatchObject({
        ...pushed,
        messageId: id,
        meshId: bob.identity.mesh,
        senderPubkey: alice.me.session,
        priority: 'low',
        nonce: send?.['nonce'],
        ciphertext: send?.['ciphertext'],
        createdAt: mesh.clock.now(),
      })
    }
    for (const text of [secret, Buffer.from(secret).toString('base64').slice(0, -4)])
      expect([...a.raw, ...b.raw].filter((frame) => frame.includes(text))).toEqual([])
  })

  test('message_status tells delivered, when, and how far each recipient is', async () => {
    verifies('wire.message-status')
    await using mesh = await testMesh()
    const [alice, bob, carol] = [await mesh.peer('Alice'), await mesh.peer('Bob'), await mesh.peer('Carol')]
    carol.line.refuse()
    carol.line.cut()
    while (alice.peers().some((peer) => peer.name === 'Carol' && peer.connected)) await next(alice, 'peer')
    const { id } = await alice.send({ to: '*', message: 'are you there?' })
    await next(alice, 'delivery', (update) => update.rung === 'received')
    const status = await alice.calls.messages.status({ messageId: id })
    expect(status).toMatchObject({ messageId: id, delivered: false })
    expect(status.recipients).toHaveLength(2)
    expect(status.recipients).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ sessionPubkey: bob.me.session, rung: 'received', connected: true }),
        expect.objectContaining({ sessionPubkey: carol.me.session, rung: 'stored', connected: false }),
      ]),
    )
    carol.line.refuse(false)
    await mesh.advance(60_000)
    await next(alice, 'delivery', (update) => update.session === carol.me.session && update.rung === 'received')
    expect(await alice.calls.messages.status({ messageId: id })).toMatchObject({ delivered: true, deliveredAt: expect.any(Number) })
  })

  test('list_peers, set_status, set_summary, join_group and leave_group are answered, and every peer hears of the change', async () => {
    verifies('wire.list-peers', 'wire.set-status', 'wire.set-summary', 'wire.groups')
    await using mesh = await testMesh()
    const { dial, sent, received } = recording((await mesh.line()).dial)
    const alice = await mesh.peer('Alice')
    const bob = await mesh.peer('Bob', { dial })
    const answerTo = (type: string) => received.find((frame) => frame['id'] === sent.findLast((request) => request.type === type)?.['id'])
    await bob.setStatus('working')
    expect(answerTo('set_status')).toMatchObject({ type: 'ok' })
    await bob.setSummary('Sorting the backlog')
    expect(answerTo('set_summary')).toMatchObject({ type: 'ok' })
    await bob.joinGroup('ops', 'lead')
    expect(answerTo('join_group')).toMatchObject({ type: 'ok' })
    await mesh.settle()
    expect(alice.peers()).toMatchObject([{ name: 'Bob', status: 'working', summary: 'Sorting the backlog', groups: [{ name: 'ops', role: 'lead' }] }])
    await bob.leaveGroup('ops')
    expect(answerTo('leave_group')).toMatchObject({ type: 'ok' })
    await mesh.settle()
    expect(alice.peers()).toMatchObject([{ name: 'Bob', groups: [] }])
    const listed = await alice.calls.peers.list({})
    expect(listed.peers.map((peer) => peer.sessionPubkey)).toContain(bob.me.session)
    expect(answerTo('list_peers')).toMatchObject({ type: 'peers_list' })
  })
})
