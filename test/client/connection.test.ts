import { Mesh } from '@claudemesh/client'
import { closeCodes, contract, times, type ErrorCode } from '@claudemesh/protocol'
import { expect, test } from 'vitest'
import { EvilBroker } from '../harness/evil.ts'
import { next, seen } from '../harness/events.ts'
import { testMesh } from '../harness/mesh.ts'

const refusal = (code: ErrorCode) => expect.objectContaining({ code })

test('a broker that says nothing, or does not answer the hello, is given up after ten seconds', async () => {
  await using mesh = await testMesh()
  for (const silenced of ['challenge', 'hello_ack']) {
    await using evil = await EvilBroker.before(mesh.url)
    const reached = new Promise<void>((resolve) => {
      evil.tamper = (frame) => {
        if (frame.type === silenced) resolve()
        return frame.type === silenced ? [] : [frame]
      }
    })
    const connecting = expect(Mesh.connect({ ...(await mesh.options('Alice')), dial: evil.dial })).rejects.toThrow(refusal('timeout'))
    await reached
    mesh.clock.advance(times.helloDeadline)
    await connecting
  }
})

test.for<ErrorCode>(['unauthorized', 'clock_skew', 'bad_audience', 'revoked', 'duplicate_session', 'shutting_down'])(
  'a hello answered by %s ends a first connection',
  async (code) => {
    await using mesh = await testMesh()
    await using evil = await EvilBroker.before(mesh.url)
    evil.tamper = (frame) => [frame.type === 'hello_ack' ? { type: 'error', code, message: 'no', id: 'hello' } : frame]
    await expect(Mesh.connect({ ...(await mesh.options('Alice')), dial: evil.dial })).rejects.toThrow(refusal(code))
  },
)

test('after a loss, a refused hello is final where a new one would not help, and tried again where it may', async () => {
  await using mesh = await testMesh()
  for (const [code, phase] of [
    ['unauthorized', 'closed'],
    ['duplicate_session', 'waiting'],
  ] as const) {
    await using evil = await EvilBroker.before(mesh.url)
    const alice = await mesh.peer('Alice', { dial: evil.dial })
    evil.tamper = (frame) => [frame.type === 'hello_ack' ? { type: 'error', code, message: 'no', id: 'hello' } : frame]
    evil.hangUp(closeCodes.restart)
    expect(await next(alice, 'connection', (state) => state.phase === 'waiting')).toMatchObject({ cause: { code: 'shutting_down' } })
    mesh.clock.advance(1000)
    const state = await next(alice, 'connection', (changed) => changed.phase === phase)
    expect(state.phase === 'closed' ? state.reason : state.phase === 'waiting' && state.cause).toMatchObject({ code })
    await alice.close()
  }
})

test('a broker that goes down says when to come back, and is taken at its word', async () => {
  await using mesh = await testMesh()
  await using evil = await EvilBroker.before(mesh.url)
  const alice = await mesh.peer('Alice', { dial: evil.dial })
  evil.say({ type: 'error', code: 'shutting_down', message: 'no', retryAfter: 1234 })
  evil.hangUp(closeCodes.restart)
  const state = await next(alice, 'connection', (changed) => changed.phase === 'waiting')
  expect(state.phase === 'waiting' && state.until - mesh.clock.now()).toBe(1234)
  await alice.close()
})

test.for<[number, ErrorCode, 'closed' | 'waiting']>([
  [closeCodes.revoked, 'revoked', 'closed'],
  [closeCodes.replaced, 'replaced', 'closed'],
  [closeCodes.unauthorized, 'unauthorized', 'waiting'],
  [closeCodes.slowConsumer, 'slow_consumer', 'waiting'],
  [closeCodes.restart, 'shutting_down', 'waiting'],
  [closeCodes.badFrame, 'unavailable', 'waiting'],
  [1001, 'unavailable', 'waiting'],
])('a session closed with %i knows it as %s and is %s', async ([code, error, phase]) => {
  await using mesh = await testMesh()
  await using evil = await EvilBroker.before(mesh.url)
  const alice = await mesh.peer('Alice', { dial: evil.dial })
  evil.hangUp(code)
  const state = await next(alice, 'connection', (changed) => changed.phase === phase)
  expect(state.phase === 'closed' ? state.reason : state.phase === 'waiting' && state.cause).toMatchObject({ code: error })
})

test('an answer of the wrong kind or form is an error of the request alone', async () => {
  await using mesh = await testMesh()
  await using evil = await EvilBroker.before(mesh.url)
  const alice = await mesh.peer('Alice', { dial: evil.dial })
  const ask = () => alice.calls.session.getPolicy({})
  evil.tamper = (frame) => [frame.type === 'policy' ? { ...frame, type: 'ok' } : frame]
  await expect(ask()).rejects.toThrow(refusal('bad_frame'))
  evil.tamper = (frame) => [frame.type === 'policy' ? { ...frame, policy: 7 } : frame]
  await expect(ask()).rejects.toThrow(refusal('bad_frame'))
  evil.tamper = (frame) => [frame.type === 'policy' ? { type: 'error', id: frame['id'], code: 'from_the_future', message: 'hm' } : frame]
  await expect(ask()).rejects.toThrow(expect.objectContaining({ code: 'internal', message: 'hm' }))
  evil.tamper = (frame) => [frame]
  expect(await ask()).toHaveProperty('policy')
})

test('an answer that does not come is a timeout', async () => {
  await using mesh = await testMesh()
  await using evil = await EvilBroker.before(mesh.url)
  const alice = await mesh.peer('Alice', { dial: evil.dial })
  const reached = new Promise<void>((resolve) => {
    evil.tamper = (frame) => {
      if (frame.type === 'policy') resolve()
      return frame.type === 'policy' ? [] : [frame]
    }
  })
  const asking = expect(alice.calls.session.getPolicy({})).rejects.toThrow(refusal('timeout'))
  await reached
  mesh.clock.advance(10_000)
  await asking
})

test('a roster without end is not read without end', async () => {
  await using mesh = await testMesh()
  await using evil = await EvilBroker.before(mesh.url)
  await mesh.peer('Bob')
  evil.tamper = (frame) => [
    frame.type === 'peers_list'
      ? { ...frame, next: 'more' }
      : frame.type === 'error'
        ? { type: 'peers_list', id: frame['id'], peers: [], tokens: [], next: 'more' }
        : frame,
  ]
  const alice = await mesh.peer('Alice', { dial: evil.dial })
  expect(alice.peers().map((peer) => peer.name)).toEqual(['Bob'])
  expect(evil.heard.filter((frame) => frame.type === 'list_peers').length).toBeLessThanOrEqual(100)
})

test('an acknowledgement of another message is no acknowledgement', async () => {
  await using mesh = await testMesh()
  await using evil = await EvilBroker.before(mesh.url)
  await mesh.peer('Bob')
  const alice = await mesh.peer('Alice', { dial: evil.dial })
  evil.tamper = (frame) => [frame.type === 'ack' ? { ...frame, messageId: 'AAAAAAAAAAAAAAAAAAAAAA' } : frame]
  await expect(alice.send({ to: 'Bob', message: 'x' })).rejects.toThrow(refusal('internal'))
})

test('a top-up that fails leaves the message with those who have it', async () => {
  await using mesh = await testMesh()
  await using evil = await EvilBroker.before(mesh.url)
  const alice = await mesh.peer('Alice', { dial: evil.dial })
  const bob = await mesh.peer('Bob', { groups: [{ name: 'team' }] })
  const carol = await mesh.peer('Carol')
  evil.tamper = (frame) => {
    if (frame.type === 'peer_update') return []
    return [
      frame.type === 'ack' && (frame['missing'] as unknown[]).length === 0 ? { type: 'error', id: frame['id'], code: 'top_up_closed', message: 'late' } : frame,
    ]
  }
  await carol.joinGroup('team')
  const sent = await alice.send({ to: '@team', message: 'all of you' })
  expect(sent.recipients.map((peer) => peer.name)).toEqual(['Bob'])
  expect((await next(bob, 'message')).text).toBe('all of you')
  expect(seen(alice, 'refused')).toEqual([])
})

test('every request of the contract is a method under its noun, and nothing else is', async () => {
  await using mesh = await testMesh()
  const alice = await mesh.peer('Alice')
  const table = Object.fromEntries(
    Object.entries(contract).map(([noun, members]) => [
      noun,
      Object.entries(members)
        .filter(([, member]) => member.kind === 'request')
        .map(([verb]) => verb),
    ]),
  )
  expect(Object.fromEntries(Object.entries(alice.calls).map(([noun, verbs]) => [noun, Object.keys(verbs)]))).toEqual(table)
})
