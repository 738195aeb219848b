import { afterAll, describe, expect, test } from 'vitest'
import { defaultRates, type Kind, type Rates, type Scope } from '@claudemesh/broker'
import { openStore } from '@claudemesh/drivers'
import { createBroker, type Broker } from '@claudemesh/broker'
import { TestClock } from '../harness/clock.ts'
import { fileId, get, http } from './file-kit.ts'
import { b64u, dial, Peer, TestMesh, type Frame } from './kit.ts'

const store = await openStore('pglite:')
afterAll(() => store[Symbol.asyncDispose]())

/** The default rates, but for one. */
const tight = (scope: Scope, kind: Kind, burst: number): Rates => ({ ...defaultRates, [scope]: { ...defaultRates[scope], [kind]: { perSecond: 1, burst } } })

async function at(rates: Rates): Promise<{ broker: Broker; mesh: TestMesh; clock: TestClock }> {
  const clock = new TestClock()
  const broker = await createBroker({ store, clock, rates })
  return { broker, clock, mesh: await new TestMesh(broker.url, clock).create() }
}

const refused = { type: 'error', code: 'rate_limited', retryAfter: 1000 }
const message = expect.stringMatching(/^too many .* from this (session|member|mesh): try again in \d+ s$/)

test('a session that sends too much is told when to go on, and goes on then', async () => {
  const { broker, mesh, clock } = await at(tight('session', 'messages', 2))
  const [alice, bob] = [await mesh.peer('Alice'), await mesh.peer('Bob')]
  const send = () => alice.wire.ask(alice.sendFrame([bob.key], 'hello'))
  expect(await send()).toMatchObject({ type: 'ack' })
  expect(await send()).toMatchObject({ type: 'ack' })
  expect(await send()).toMatchObject({ ...refused, message: 'too many messages from this session: try again in 1 s' })
  // The bucket is the session's own: its member's other sessions have theirs, and a new connection brings no new one.
  expect(await bob.wire.ask(bob.sendFrame([alice.key], 'and I?'))).toMatchObject({ type: 'ack' })
  await alice[Symbol.asyncDispose]()
  await alice.connect()
  expect(await send()).toMatchObject(refused)
  clock.advance(1000)
  expect(await send()).toMatchObject({ type: 'ack' })
  expect(await send()).toMatchObject(refused)
  for (const peer of [alice, bob]) await peer[Symbol.asyncDispose]()
  await broker[Symbol.asyncDispose]()
})

test('a refused message is stored nowhere and pushed to nobody, and may be sent again', async () => {
  const { broker, mesh, clock } = await at(tight('session', 'messages', 1))
  const [alice, bob] = [await mesh.peer('Alice'), await mesh.peer('Bob')]
  await alice.send([bob.key], 'one')
  const frame = alice.sendFrame([bob.key], 'two')
  expect(await alice.wire.ask(frame)).toMatchObject(refused)
  clock.advance(1000)
  expect(await alice.wire.ask(frame)).toMatchObject({ type: 'ack', queued: 1 })
  await bob.wire.next((pushed) => pushed['id'] === frame['id'])
  expect(bob.wire.seen.filter((seen) => seen.type === 'push')).toHaveLength(2)
  for (const peer of [alice, bob]) await peer[Symbol.asyncDispose]()
  await broker[Symbol.asyncDispose]()
})

test('a message to three counts three recipients; what is larger than the bucket passes when it is full', async () => {
  const { broker, mesh, clock } = await at(tight('session', 'recipients', 4))
  const peers = [await mesh.peer('Alice'), await mesh.peer('Bob'), await mesh.peer('Carol'), await mesh.peer('Dave')] as const
  const [alice, ...others] = peers
  const send = (n: number) =>
    alice.wire.ask(
      alice.sendFrame(
        others.slice(0, n).map((peer) => peer.key),
        'hello',
      ),
    )
  expect(await send(3)).toMatchObject({ type: 'ack', queued: 3 })
  expect(await send(2)).toMatchObject({ ...refused, message: 'too many recipients from this session: try again in 1 s' })
  expect(await send(1)).toMatchObject({ type: 'ack', queued: 1 })
  clock.advance(4000)
  for (const peer of peers) await peer[Symbol.asyncDispose]()
  await broker[Symbol.asyncDispose]()
})

const requests: Partial<Record<Kind, Frame>> = {
  requests: { type: 'list_peers' },
  writes: { type: 'set_status', status: 'working' },
}

test.each([
  ['session', 'bytes'],
  ['session', 'writes'],
  ['session', 'requests'],
  ['member', 'messages'],
  ['member', 'recipients'],
  ['member', 'bytes'],
  ['member', 'writes'],
  ['member', 'requests'],
  ['mesh', 'messages'],
  ['mesh', 'recipients'],
  ['mesh', 'bytes'],
  ['mesh', 'writes'],
  ['mesh', 'requests'],
] as const)('a %s has a bucket for its %s', async (scope, kind) => {
  const { broker, mesh } = await at(tight(scope, kind, 1))
  const stranger = await new TestMesh(broker.url, mesh.clock).create()
  const peers = {
    alice: await mesh.peer('Alice'),
    // Another session of the same member, another member of the mesh, and somebody of another mesh.
    twin: await mesh.peer('Twin'),
    carol: await mesh.peer('Carol', { member: await mesh.enrolled('Carol') }),
    eve: await stranger.peer('Eve'),
    mallory: await stranger.peer('Mallory'),
  }
  const { alice, twin, carol, eve, mallory } = peers
  const ask = (peer: typeof alice, to: typeof alice) => peer.wire.ask({ ...(requests[kind] ?? peer.sendFrame([to.key], '')), id: b64u(16) })
  const limited = { type: 'error', code: 'rate_limited', message }
  expect((await ask(alice, carol)).type).not.toBe('error')
  const spent = { session: [alice], member: [alice, twin], mesh: [alice, twin, carol] }[scope]
  for (const peer of [alice, twin, carol])
    expect(await ask(peer, peer === alice ? carol : alice)).toEqual(
      spent.includes(peer) ? expect.objectContaining(limited) : expect.not.objectContaining({ type: 'error' }),
    )
  expect((await ask(eve, mallory)).type).not.toBe('error')
  for (const peer of Object.values(peers)) await peer[Symbol.asyncDispose]()
  await broker[Symbol.asyncDispose]()
})

test('what is refused again and again is refused unread, for as long as was said and no longer', async () => {
  const { broker, mesh, clock } = await at(tight('session', 'messages', 1))
  await using alice = await mesh.peer('Alice')
  await using bob = await mesh.peer('Bob')
  const unreadable = (volatile: boolean) => ({ ...alice.sendFrame([bob.key], 'x', { volatile }), ciphertext: 'none of this' })
  expect(await alice.send([bob.key], 'one')).toMatchObject({ type: 'ack' })
  expect(await alice.wire.ask(unreadable(false))).toMatchObject({ code: 'bad_frame' })
  expect(await alice.send([bob.key], 'two')).toMatchObject(refused)
  for (const volatile of [false, true]) expect(await alice.wire.ask(unreadable(volatile))).toMatchObject(refused)
  clock.advance(999)
  expect(await alice.wire.ask(unreadable(false))).toMatchObject({ ...refused, retryAfter: 1 })
  clock.advance(1)
  expect(await alice.wire.ask(unreadable(false))).toMatchObject({ code: 'bad_frame' })
  expect(await alice.send([bob.key], 'two')).toMatchObject({ type: 'ack' })
  await broker[Symbol.asyncDispose]()
})

test('requests for files count as any other', async () => {
  const { broker, mesh, clock } = await at(tight('session', 'requests', 2))
  await using alice = await mesh.peer('Alice')
  await using twin = await mesh.peer('Twin')
  const nothing = fileId()
  expect(await get(alice, nothing)).toMatchObject({ status: 404 })
  expect(await alice.wire.ask({ type: 'get_policy' })).toMatchObject({ type: 'policy' })
  const limited = { code: 'rate_limited', message: 'too many requests from this session: try again in 1 s', retryAfter: 1000 }
  expect(await get(alice, nothing)).toMatchObject({ status: 429, headers: '1', body: limited })
  expect(await get(twin, nothing)).toMatchObject({ status: 404 })
  clock.advance(1000)
  expect(await get(alice, nothing)).toMatchObject({ status: 404 })
  await broker[Symbol.asyncDispose]()
})

test('a flood of receipts is read more slowly instead of being refused', async () => {
  const { broker, mesh, clock } = await at(tight('session', 'receipts', 2))
  const alice = await mesh.peer('Alice')
  const receipt = { type: 'receipt', received: [b64u(16), b64u(16)], failed: [] }
  for (let i = 0; i < 3; i++) alice.wire.send(receipt)
  const asked = alice.wire.ask({ type: 'get_policy' })
  const bob = await mesh.peer('Bob')
  expect(alice.wire.seen.some((frame) => frame.type === 'policy')).toBe(false)
  clock.advance(60_000)
  expect(await Promise.race([asked, bob.wire.ask({ type: 'get_policy' }).then(() => asked)])).not.toMatchObject({ type: 'error' })
  for (const peer of [alice, bob]) await peer[Symbol.asyncDispose]()
  await broker[Symbol.asyncDispose]()
})

test('an address that greets too often is put off, and refused greetings cost it more', async () => {
  const { broker, mesh, clock } = await at({ ...defaultRates, address: { greetings: { perSecond: 1, burst: 30 } } })
  const greet = async (forged: boolean, headers: Record<string, string> = {}) => {
    const { wire, nonce } = await dial(broker.url, { headers })
    const answer = await wire.ask(mesh.createFrame(forged ? b64u(32) : nonce))
    return { ...answer, closed: (await wire.closed).code }
  }
  expect(await greet(true)).toMatchObject({ code: 'unauthorized', closed: 4401 })
  expect(await greet(false)).toMatchObject({ code: 'mesh_exists', closed: 4401 })
  expect(await greet(true)).toMatchObject({ code: 'rate_limited', closed: 1013, retryAfter: expect.any(Number) as number })
  // Nobody may say to be somebody else.
  expect(await greet(true, { 'x-forwarded-for': '198.51.100.7' })).toMatchObject({ code: 'rate_limited' })
  clock.advance(20_000)
  expect(await greet(false)).toMatchObject({ code: 'mesh_exists' })
  await broker[Symbol.asyncDispose]()
})

describe('what strangers may ask over HTTP counts as their greetings do:', () => {
  const few = { ...defaultRates, address: { greetings: { perSecond: 1, burst: 30 } } }
  const limited = { code: 'rate_limited', message: expect.stringMatching(/^too many greetings from this address: try again in \d+ s$/) as string }

  test.each(['GET', 'HEAD'])('%s of an invite that does not exist', async (method) => {
    const { broker, mesh, clock } = await at(few)
    const ask = async () => {
      const response = await fetch(`${broker.url.replace('ws:', 'http:')}/v1/invite/${b64u(32)}`, { method })
      const body: unknown = method === 'HEAD' ? undefined : await response.json()
      return { status: response.status, body, later: response.headers.get('retry-after') }
    }
    expect(await ask()).toMatchObject({ status: 404 })
    expect(await ask()).toMatchObject({ status: 404 })
    expect(await ask()).toMatchObject({ status: 429, later: '12', ...(method === 'HEAD' ? {} : { body: { ...limited, retryAfter: 12_000 } }) })
    const { wire } = await dial(broker.url)
    expect(await wire.ask(mesh.createFrame(b64u(32)))).toMatchObject({ code: 'rate_limited' })
    await wire.closed
    clock.advance(12_000)
    expect(await ask()).toMatchObject({ status: 404 })
    await broker[Symbol.asyncDispose]()
  })

  test('an invite that exists costs no more than a greeting', async () => {
    const { broker, mesh } = await at(few)
    const invite = mesh.invite()
    const alice = await mesh.peer('Alice')
    expect(await alice.wire.ask({ type: 'create_invite', chain: invite.chain })).toMatchObject({ type: 'ok' })
    const statuses: number[] = []
    for (let i = 0; i < 29; i++) statuses.push((await fetch(`${broker.url.replace('ws:', 'http:')}/v1/invite/${invite.key.publicKey}`)).status)
    // Two have greeted.
    expect(statuses).toEqual([...Array.from({ length: 28 }, () => 200), 429])
    await alice[Symbol.asyncDispose]()
    await broker[Symbol.asyncDispose]()
  })

  test.each(['GET', 'PUT'] as const)('%s of a file, signed by a session of no mesh; sessions at the same address go on', async (method) => {
    const { broker, mesh, clock } = await at(few)
    await using alice = await mesh.peer('Alice')
    const nobody = new Peer(new TestMesh(broker.url, clock), { name: 'Nobody' })
    const ghost = new Peer(mesh, { name: 'Ghost' })
    const path = `/v1/file/${fileId()}`
    expect(await http(nobody, method, path)).toMatchObject({ status: 401 })
    expect(await http(ghost, method, path)).toMatchObject({ status: 401 })
    expect(await http(ghost, method, path)).toMatchObject({ status: 429, headers: '13', body: limited })
    expect(await get(alice, fileId())).toMatchObject({ status: 404 })
    clock.advance(13_000)
    expect(await http(ghost, method, path)).toMatchObject({ status: 401 })
    await broker[Symbol.asyncDispose]()
  })
})

test('behind a proxy, the address is the one that the proxy names', async () => {
  const clock = new TestClock()
  const broker = await createBroker({ store, clock, proxies: 1, rates: { ...defaultRates, address: { greetings: { perSecond: 1, burst: 1 } } } })
  const mesh = new TestMesh(broker.url, clock)
  const greet = async (forwarded: string) => {
    const { wire } = await dial(broker.url, { headers: { 'x-forwarded-for': forwarded } })
    const answer = await wire.ask(mesh.createFrame(b64u(32)))
    await wire[Symbol.asyncDispose]()
    return answer['code']
  }
  expect(await greet('198.51.100.7')).toBe('unauthorized')
  expect(await greet('203.0.113.1, 198.51.100.7')).toBe('rate_limited')
  expect(await greet('198.51.100.7, 203.0.113.1')).toBe('unauthorized')
  await broker[Symbol.asyncDispose]()
})

test('without rates nobody is refused', async () => {
  const clock = new TestClock()
  const broker = await createBroker({ store, clock, rates: false })
  const mesh = await new TestMesh(broker.url, clock).create()
  const alice = await mesh.peer('Alice')
  const answers = await Promise.all(Array.from({ length: 3000 }, () => alice.wire.ask({ type: 'get_policy' })))
  expect(answers.filter((answer) => answer.type === 'error')).toEqual([])
  await alice[Symbol.asyncDispose]()
  await broker[Symbol.asyncDispose]()
})
