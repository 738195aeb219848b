import { describe, expect, test } from 'vitest'
import { limits } from '@claudemesh/protocol'
import { verifies } from '../harness/verifies.ts'
import { b64u, clientId, Peer, type Frame, type TestMesh } from './kit.ts'
import { onEveryStore } from './world.ts'

const pushesOf = (peer: Peer) => peer.wire.seen.filter((frame) => frame.type === 'push')

/** Resolves when everything the broker did so far for this peer has arrived. */
const settled = (peer: Peer) => peer.wire.ask({ type: 'get_policy' })

onEveryStore((world) => {
  async function three(): Promise<{ mesh: TestMesh; alice: Peer; bob: Peer; carol: Peer } & AsyncDisposable> {
    const mesh = await world().mesh()
    const groups = [{ name: 'frontend' }]
    const [alice, bob, carol] = await Promise.all([mesh.peer('Alice', { groups }), mesh.peer('Bob', { groups }), mesh.peer('Carol')])
    const dispose = async () => void (await Promise.all([alice, bob, carol].map((peer) => peer[Symbol.asyncDispose]())))
    return { mesh, alice, bob, carol, [Symbol.asyncDispose]: dispose }
  }

  describe('send', () => {
    test('reaches the session it names, byte for byte, and is acknowledged when stored', async () => {
      verifies('wire.send', 'wire.push', 'routing.session-keys', 'queue.sender-session-key')
      await using t = await three()
      const sent = t.alice.sendFrame([t.bob.key], 'hello', { priority: 'now' })
      const ack = await t.alice.wire.ask(sent)
      expect(ack).toMatchObject({ type: 'ack', queued: 1, missing: [], gone: [] })
      expect(await t.bob.wire.next('push')).toMatchObject({
        type: 'push',
        messageId: ack['messageId'],
        id: sent['id'],
        meshId: t.mesh.id,
        senderPubkey: t.alice.key,
        priority: 'now',
        targetSpec: t.bob.key,
        createdAt: t.mesh.clock.now(),
        nonce: sent['nonce'],
        ciphertext: sent['ciphertext'],
      })
      await settled(t.carol)
      expect(pushesOf(t.carol)).toEqual([])
    })

    test('with its fields in any order and spacing is the same message', async () => {
      await using t = await three()
      const { type, ciphertext, ...rest } = t.alice.sendFrame([t.bob.key], 'hello')
      t.alice.wire.send(JSON.stringify({ ciphertext, ...rest, type }, undefined, 1))
      expect(await t.alice.wire.next('ack')).toMatchObject({ queued: 1 })
      expect(await t.bob.wire.next('push')).toMatchObject({ ciphertext, nonce: rest['nonce'] })
    })

    test('to a group gives every recipient its own wrap of one body', async () => {
      verifies('broadcast.sender-excluded')
      await using t = await three()
      const sent = t.alice.sendFrame([t.bob.key, t.carol.key], 'hello', { targetSpec: '*' })
      expect(await t.alice.wire.ask(sent)).toMatchObject({ queued: 2, missing: [], gone: [] })
      const [toBob, toCarol] = [await t.bob.wire.next('push'), await t.carol.wire.next('push')]
      expect([toBob['ciphertext'], toCarol['ciphertext']]).toEqual([sent['ciphertext'], sent['ciphertext']])
      const wraps = Buffer.from(sent['wraps'] as string, 'base64url')
      expect([toBob['wrap'], toCarol['wrap']]).toEqual([wraps.subarray(0, 88).toString('base64url'), wraps.subarray(88).toString('base64url')])
      await settled(t.alice)
      expect(pushesOf(t.alice)).toEqual([])
    })

    test('names who matches and was not wrapped for, and send_more reaches them', async () => {
      await using t = await three()
      const sent = t.alice.sendFrame([t.bob.key], 'hello', { targetSpec: '*', shared: true })
      const ack = await t.alice.wire.ask(sent)
      expect(ack).toMatchObject({ queued: 1, missing: [{ sessionPubkey: t.carol.key, connected: true }] })
      expect(ack['tokens']).toContain(t.carol.chain.at(-1))
      const wrap = b64u(88)
      const more = { type: 'send_more', messageId: ack['messageId'], to: t.carol.key, wraps: wrap }
      expect(await t.alice.wire.ask(more)).toMatchObject({ type: 'ack', queued: 1, missing: [], gone: [] })
      expect(await t.carol.wire.next('push')).toMatchObject({ messageId: ack['messageId'], ciphertext: sent['ciphertext'], wrap })
      expect(await t.alice.wire.ask(more)).toMatchObject({ type: 'ack', queued: 1 })
      await settled(t.carol)
      expect(pushesOf(t.carol)).toHaveLength(1)
    })

    test('send_more is for the sender alone, and for thirty seconds', async () => {
      await using t = await three()
      const ack = await t.alice.send([t.bob.key], 'hello', { targetSpec: '*', shared: true })
      const more = { type: 'send_more', messageId: ack['messageId'], to: t.carol.key, wraps: b64u(88) }
      expect(await t.bob.wire.ask(more)).toMatchObject({ code: 'not_found' })
      world().broker.clock.advance(30_001)
      expect(await t.alice.wire.ask(more)).toMatchObject({ code: 'top_up_closed' })
    })

    test('names recipients that are not there, or match no longer', async () => {
      await using t = await three()
      const unknown = new Peer(t.mesh, { name: 'Nobody' }).key
      expect(await t.alice.send([t.bob.key, unknown], 'x', { targetSpec: '*' })).toMatchObject({ queued: 1, gone: [unknown] })
      expect(await t.alice.send([t.bob.key, t.carol.key], 'x', { targetSpec: '@frontend' })).toMatchObject({ queued: 1, gone: [t.carol.key] })
      expect(await t.alice.send([unknown], 'x')).toMatchObject({ queued: 0, gone: [unknown] })
    })

    test.each<[string, (t: { alice: Peer; bob: Peer; carol: Peer }) => Record<string, unknown>, string]>([
      ['the sender among the recipients', ({ alice }) => ({ to: alice.key }), 'bad_recipients'],
      ['a recipient twice', ({ bob }) => ({ to: Buffer.concat([key(bob), key(bob)]).toString('base64url'), wraps: b64u(176) }), 'bad_recipients'],
      [
        'fewer wraps than recipients',
        ({ bob, carol }) => ({ to: Buffer.concat([key(bob), key(carol)]).toString('base64url'), wraps: b64u(88) }),
        'bad_recipients',
      ],
      ['several recipients without wraps', ({ bob, carol }) => ({ to: Buffer.concat([key(bob), key(carol)]).toString('base64url') }), 'bad_recipients'],
      ['half a key', () => ({ to: b64u(16) }), 'bad_recipients'],
      ['nobody', () => ({ to: '' }), 'bad_recipients'],
      ['2049 recipients', () => ({ to: b64u(2049 * 32), wraps: '' }), 'too_many_recipients'],
      ['a body over the limit', () => ({ ciphertext: 'A'.repeat(120_000) }), 'too_large'],
      ['a body that is not base64url', () => ({ ciphertext: 'hello world!' }), 'bad_frame'],
      ['a target that is no route', () => ({ targetSpec: 'Bob' }), 'bad_frame'],
      ['a nonce of the wrong length', () => ({ nonce: b64u(23) }), 'bad_frame'],
      ['a priority of its own', () => ({ priority: 'urgent' }), 'bad_frame'],
    ])('refuses %s', async (_, change, code) => {
      await using t = await three()
      const { ciphertext, ...rest } = t.alice.sendFrame([t.bob.key], 'hello')
      const answer = await t.alice.wire.ask({ ...rest, ciphertext, ...change(t) })
      expect(answer).toMatchObject({ type: 'error', code, id: rest['id'] })
      await settled(t.bob)
      expect(pushesOf(t.bob)).toEqual([])
    })

    test('the same id again gives the same answer and nothing twice', async () => {
      await using t = await three()
      const sent = t.alice.sendFrame([t.bob.key], 'hello')
      const [first, second] = [await t.alice.wire.ask(sent), await t.alice.wire.ask(sent)]
      expect(second).toEqual(first)
      const [third, fourth] = await Promise.all([0, 1].map(async () => (t.alice.wire.send(sent), t.alice.wire.next('ack'))))
      expect([third, fourth]).toEqual([first, first])
      await t.bob.wire.next('push')
      await settled(t.bob)
      expect(pushesOf(t.bob)).toHaveLength(1)
    })

    test('the same id with other content is a conflict, and nobody sees it', async () => {
      await using t = await three()
      const id = clientId()
      expect(await t.alice.send([t.bob.key], 'hello', { id })).toMatchObject({ type: 'ack' })
      expect(await t.alice.send([t.bob.key], 'other', { id })).toMatchObject({ type: 'error', code: 'id_conflict' })
      await t.bob.wire.next('push')
      await settled(t.bob)
      expect(pushesOf(t.bob)).toHaveLength(1)
    })

    test('a volatile message reaches who is connected and is never stored', async () => {
      await using t = await three()
      const ack = await t.alice.send([t.bob.key], 'typing', { volatile: true })
      expect(ack).toMatchObject({ queued: 0, volatile: true })
      await t.bob.wire.next('push')
      expect(await t.alice.wire.ask({ type: 'message_status', messageId: ack['messageId'] })).toMatchObject({ code: 'not_found' })
      await t.bob.drop()
      await t.alice.send([t.bob.key], 'typing', { volatile: true })
      expect(await t.bob.connect()).toMatchObject({ queued: 0 })
    })

    test('a full queue refuses, and what was in it stays', async () => {
      await using t = await three()
      await t.bob.drop()
      const sends = Array.from({ length: limits.queuedPerSession }, (_, i) => t.alice.sendFrame([t.bob.key], `m${i}`))
      for (const frame of sends) t.alice.wire.send(frame)
      for (const frame of sends) expect(await t.alice.wire.next((f) => f['id'] === frame['id'])).toMatchObject({ type: 'ack', queued: 1 })
      expect(await t.alice.send([t.bob.key], 'one more')).toMatchObject({ type: 'error', code: 'queue_full' })
      const both = t.alice.sendFrame([t.bob.key, t.carol.key], 'to both', { targetSpec: '*' })
      const ack = await t.alice.wire.ask(both)
      expect(ack).toMatchObject({ queued: 1, missing: [], gone: [] })
      const full = { sessionPubkey: t.bob.key, rung: 'failed', reason: 'queue_full' }
      expect(await t.alice.wire.next('delivery')).toMatchObject({ updates: [full] })
      // Who has lost its line meanwhile sees it later, and is answered the same again.
      const recipients = [{ sessionPubkey: t.carol.key, rung: 'stored' }, full]
      const statusOf = (messageId: unknown) => t.alice.wire.ask({ type: 'message_status', messageId })
      expect(await statusOf(ack['messageId'])).toMatchObject({ delivered: false, recipients })
      expect(await t.alice.wire.ask(both)).toEqual(ack)
      // Whoever is not named is, also where nobody else was.
      const alone = await t.alice.send([t.bob.key], 'to one of both', { targetSpec: '*' })
      expect(alone).toMatchObject({ type: 'ack', queued: 0, missing: [{ sessionPubkey: t.carol.key }] })
      expect(await statusOf(alone['messageId'])).toMatchObject({ recipients: [full] })
      expect(await t.bob.connect()).toMatchObject({ queued: limits.queuedPerSession })
      for (const frame of sends) expect(await t.bob.wire.next('push')).toMatchObject({ id: frame['id'] })
    })
  })

  describe('the ladder', () => {
    test('goes from stored to received, and the sender hears of it', async () => {
      verifies('wire.message-status')
      await using t = await three()
      const { messageId } = await t.alice.send([t.bob.key, t.carol.key], 'hello', { targetSpec: '*' })
      expect(await t.alice.wire.ask({ type: 'message_status', messageId })).toMatchObject({
        type: 'message_status_result',
        delivered: false,
        recipients: [
          { sessionPubkey: t.bob.key, rung: 'stored', connected: true },
          { sessionPubkey: t.carol.key, rung: 'stored', connected: true },
        ],
      })
      t.bob.receive((await t.bob.wire.next('push'))['messageId'])
      expect(await t.alice.wire.next('delivery')).toMatchObject({ updates: [{ messageId, sessionPubkey: t.bob.key, rung: 'received' }] })
      t.carol.receive((await t.carol.wire.next('push'))['messageId'])
      expect(await t.alice.wire.next('delivery')).toMatchObject({ updates: [{ messageId, sessionPubkey: t.carol.key, rung: 'received' }] })
      expect(await t.alice.wire.ask({ type: 'message_status', messageId })).toMatchObject({ delivered: true, deliveredAt: t.mesh.clock.now() })
    })

    test('goes on to surfaced, and never down', async () => {
      await using t = await three()
      const { messageId } = await t.alice.send([t.bob.key], 'hello')
      t.bob.receive(messageId)
      expect(await t.alice.wire.next('delivery')).toMatchObject({ updates: [{ messageId, rung: 'received' }] })
      t.bob.surface(messageId)
      expect(await t.alice.wire.next('delivery')).toMatchObject({ updates: [{ messageId, sessionPubkey: t.bob.key, rung: 'surfaced' }] })
      t.bob.receive(messageId)
      t.bob.wire.send({ type: 'receipt', received: [], failed: [{ messageId, reason: 'cannot_open' }] })
      await settled(t.bob)
      expect(await t.alice.wire.ask({ type: 'message_status', messageId })).toMatchObject({ delivered: true, recipients: [{ rung: 'surfaced' }] })
    })

    test('remembers when each step was', async () => {
      await using t = await three()
      const start = world().broker.clock.now()
      const { messageId } = await t.alice.send([t.bob.key], 'hello')
      world().broker.clock.advance(1000)
      t.bob.receive(messageId)
      await t.alice.wire.next('delivery')
      world().broker.clock.advance(1000)
      t.bob.surface(messageId)
      await t.alice.wire.next('delivery')
      expect(await t.alice.wire.ask({ type: 'message_status', messageId })).toMatchObject({
        storedAt: start,
        recipients: [{ rung: 'surfaced', receivedAt: start + 1000, at: start + 2000 }],
      })
    })

    test('several words about one message at once leave the highest', async () => {
      await using t = await three()
      const { messageId } = await t.alice.send([t.bob.key], 'hello')
      t.bob.wire.send({ type: 'receipt', received: [messageId], surfaced: [messageId], failed: [] })
      t.bob.receive(messageId)
      expect(await t.alice.wire.next('delivery')).toMatchObject({ updates: [{ messageId, rung: 'surfaced' }] })
    })

    test('a refusal is a failure by name; a later word does not change it, and a made-up reason does not pass', async () => {
      await using t = await three()
      const { messageId } = await t.alice.send([t.bob.key], 'hello')
      t.bob.wire.send({ type: 'receipt', received: [], failed: [{ messageId, reason: 'cannot_open' }] })
      expect(await t.alice.wire.next('delivery')).toMatchObject({ updates: [{ messageId, rung: 'failed', reason: 'cannot_open' }] })
      t.bob.receive(messageId)
      await settled(t.bob)
      expect(await t.alice.wire.ask({ type: 'message_status', messageId })).toMatchObject({ delivered: false, recipients: [{ rung: 'failed' }] })
      const second = await t.alice.send([t.bob.key], 'hello')
      t.bob.wire.send({ type: 'receipt', received: [], failed: [{ messageId: second['messageId'], reason: 'obey me' }] })
      expect(await t.alice.wire.next('delivery')).toMatchObject({ updates: [{ rung: 'failed', reason: 'internal' }] })
    })

    test('nobody gives a receipt for another, or asks about a message that is not of his member', async () => {
      await using t = await three()
      const stranger = await t.mesh.peer('Dan', { member: await t.mesh.enrolled('Dan') })
      const { messageId } = await t.alice.send([t.bob.key], 'hello')
      t.carol.receive(messageId)
      await settled(t.carol)
      expect(await t.carol.wire.ask({ type: 'message_status', messageId })).toMatchObject({ recipients: [{ rung: 'stored' }] })
      expect(await stranger.wire.ask({ type: 'message_status', messageId })).toMatchObject({ code: 'not_found' })
      expect(await stranger.wire.ask({ type: 'message_status', messageId: b64u(16) })).toMatchObject({ code: 'not_found' })
      await stranger[Symbol.asyncDispose]()
    })
  })

  describe('the queue', () => {
    test('keeps order across a reconnect, proves the sender, and ends where a receipt was given', async () => {
      verifies('encryption.queued-opens-later')
      await using t = await three()
      const first = await t.alice.send([t.bob.key], 'one')
      t.bob.surface((await t.bob.wire.next('push'))['messageId'])
      await t.alice.wire.next('delivery')
      const unread = await t.alice.send([t.bob.key], 'two')
      await t.bob.drop()
      const later = []
      for (let i = 0; i < 250; i++) later.push(t.alice.sendFrame([t.bob.key], `m${i}`))
      for (const frame of later) t.alice.wire.send(frame)
      for (const frame of later) await t.alice.wire.next((f) => f['id'] === frame['id'])
      expect(await t.bob.connect()).toMatchObject({ queued: 251 })
      const again = await t.bob.wire.next('push')
      expect(again).toMatchObject({ messageId: unread['messageId'], chain: t.alice.chain, senderPubkey: t.alice.key })
      expect(again['presence']).toBeTypeOf('string')
      for (const frame of later) expect(await t.bob.wire.next('push')).toMatchObject({ id: frame['id'] })
      const live = await t.alice.send([t.bob.key], 'live')
      expect(await t.bob.wire.next('push')).toMatchObject({ messageId: live['messageId'] })
      expect(pushesOf(t.bob).map((push) => push['messageId'])).not.toContain(first['messageId'])
    })

    test('keeps what was received and not yet surfaced for the next connection, and pushes it once per connection', async () => {
      await using t = await three()
      const { messageId } = await t.alice.send([t.bob.key], 'read me')
      t.bob.receive((await t.bob.wire.next('push'))['messageId'])
      expect(await t.alice.wire.next('delivery')).toMatchObject({ updates: [{ messageId, rung: 'received' }] })
      await settled(t.bob)
      expect(pushesOf(t.bob)).toHaveLength(1)
      await t.bob.drop()
      expect(await t.bob.connect()).toMatchObject({ queued: 1 })
      expect(await t.bob.wire.next('push')).toMatchObject({ messageId })
      t.bob.surface(messageId)
      expect(await t.alice.wire.next('delivery')).toMatchObject({ updates: [{ messageId, rung: 'surfaced' }] })
      await t.bob.drop()
      expect(await t.bob.connect()).toMatchObject({ queued: 0 })
    })

    test('of a session that said goodbye fails also where it was received and never surfaced', async () => {
      await using t = await three()
      const { messageId } = await t.alice.send([t.bob.key], 'never read')
      t.bob.receive(messageId)
      expect(await t.alice.wire.next('delivery')).toMatchObject({ updates: [{ rung: 'received' }] })
      t.bob.wire.send({ type: 'bye' })
      expect(await t.alice.wire.next('delivery')).toMatchObject({ updates: [{ messageId, rung: 'failed', reason: 'recipient_gone' }] })
    })

    test('what is sent while the queue is read comes after it, once', async () => {
      await using t = await three()
      await t.bob.drop()
      const frames = Array.from({ length: 400 }, (_, i) => t.alice.sendFrame([t.bob.key], `m${i}`))
      for (const frame of frames.slice(0, 200)) t.alice.wire.send(frame)
      await t.alice.wire.next((f) => f['id'] === frames[199]?.['id'])
      const connected = t.bob.connect()
      for (const frame of frames.slice(200)) t.alice.wire.send(frame)
      await connected
      for (const frame of frames) expect(await t.bob.wire.next('push')).toMatchObject({ id: frame['id'] })
      await settled(t.bob)
      expect(pushesOf(t.bob)).toHaveLength(400)
    })

    test('of a stale session is still there when it comes back', async () => {
      verifies('presence.stale-after-3-pings')
      await using t = await three()
      await t.bob.drop()
      await t.alice.wire.next(
        (f) => f.type === 'peer_update' && (f['peer'] as Frame)['sessionPubkey'] === t.bob.key && (f['peer'] as Frame)['connected'] === false,
      )
      const { messageId } = await t.alice.send([t.bob.key], 'while you were out')
      world().broker.clock.advance(90_000)
      expect(await t.alice.wire.next('peer_gone')).toMatchObject({ sessionPubkey: t.bob.key, reason: 'stale' })
      expect(await t.alice.send([t.bob.key], 'too late')).toMatchObject({ queued: 0, gone: [t.bob.key] })
      expect(await t.bob.connect()).toMatchObject({ queued: 1 })
      expect(await t.bob.wire.next('push')).toMatchObject({ messageId })
      t.bob.receive(messageId)
      expect(await t.alice.wire.next('delivery')).toMatchObject({ updates: [{ messageId, rung: 'received' }] })
    })

    test('of a session that said goodbye fails at once, and the sender is told', async () => {
      await using t = await three()
      const { messageId } = await t.alice.send([t.bob.key], 'never read')
      t.bob.wire.send({ type: 'bye' })
      expect(await t.alice.wire.next('peer_gone')).toMatchObject({ sessionPubkey: t.bob.key, reason: 'left' })
      expect(await t.alice.wire.next('delivery')).toMatchObject({
        updates: [{ messageId, sessionPubkey: t.bob.key, rung: 'failed', reason: 'recipient_gone' }],
      })
      await t.bob.wire.closed
    })

    test('ends with the session certificate: what waits fails as expired', async () => {
      await using t = await three()
      const dan = await t.mesh.peer('Dan', { life: 600_000 })
      await dan.drop()
      await t.alice.wire.next(
        (f) => f.type === 'peer_update' && (f['peer'] as Frame)['sessionPubkey'] === dan.key && (f['peer'] as Frame)['connected'] === false,
      )
      const { messageId } = await t.alice.send([dan.key], 'for Dan')
      // A sweep under way lets the next one wait.
      while (!t.alice.wire.seen.some((frame) => frame.type === 'delivery')) {
        world().broker.clock.advance(60_000)
        await settled(t.alice)
      }
      expect(await t.alice.wire.next('delivery')).toMatchObject({ updates: [{ messageId, sessionPubkey: dan.key, rung: 'failed', reason: 'expired' }] })
    })
  })
})

const key = (peer: Peer) => Buffer.from(peer.key, 'base64url')
