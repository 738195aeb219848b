import type { Bus, Meter } from '@claudemesh/broker'
import { openBus } from '@claudemesh/drivers'
import { systemClock } from '@claudemesh/protocol'
import postgres from 'postgres'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { b64u, type Frame, type Peer } from '../broker/kit.ts'
import type { TestClock } from '../harness/clock.ts'
import { NatsServer, natsThere } from '../harness/nats.ts'
import { buses } from './buses.ts'
import { cluster, knows, moved, peerAt, roster, through, type Cluster } from './cluster.ts'

/** A bus that loses what a test wants lost on its way in, or all on its way out. */
class Leaky {
  lost: (subject: string, text: string) => boolean = () => false
  /** Nothing gets out. */
  mute = false
  readonly through = (bus: Bus): Bus => ({
    ...bus,
    publish: (subject, payload) => {
      if (!this.mute) bus.publish(subject, payload)
    },
    subscribe: (subject, listener) => bus.subscribe(subject, (text) => (this.lost(subject, text) ? undefined : listener(text))),
  })

  /** Loses the next batch of which this is a part, and no more. */
  loseOne(part: string): void {
    this.lost = (_, text) => {
      if (!text.includes(part)) return false
      this.lost = () => false
      return true
    }
  }
}

/** A bus whose line one node alone loses, and has back. */
class Frail {
  #up = true
  readonly #watchers: ((up: boolean) => void)[] = []
  readonly through = (bus: Bus): Bus => ({
    ...bus,
    publish: (subject, payload) => {
      if (this.#up) bus.publish(subject, payload)
    },
    subscribe: (subject, listener) => bus.subscribe(subject, (text) => (this.#up ? listener(text) : undefined)),
    watch: (watcher) => void this.#watchers.push(watcher),
  })

  become(up: boolean): void {
    this.#up = up
    for (const watcher of this.#watchers) watcher(up)
  }
}

/** The ids that were pushed to a peer, in the order of arrival. */
const pushes = (peer: Peer) => peer.wire.seen.filter((frame) => frame.type === 'push').map((frame) => frame['messageId'])

/** The changes of the state that a peer was told of: which key, which version. */
const changes = (peer: Peer) => peer.wire.seen.filter(({ type }) => type === 'state_change').map((frame) => [frame['stateId'], frame['version']])

/** Lets a tenth of a second pass, and leaves the nodes of these peers the time to renew their leases in the store: a lease is eighty of these. */
const passes = async ({ clock }: Cluster<TestClock>, ...peers: Peer[]) => {
  clock.advance(100)
  await Promise.all(peers.map((peer) => peer.wire.ask({ type: 'message_status', messageId: 'A'.repeat(22) })))
}

/** Lets time pass until this peer's node counts the other as connected, or no longer does: a beat that was on its way is heard late. */
const counts = async (nodes: Cluster<TestClock>, peer: Peer, other: Peer, connected: boolean) => {
  while ((await roster(peer))[other.key] !== connected) await passes(nodes, peer, other)
}

/** Lets the nodes look into the store. */
const look = async ({ clock }: Cluster<TestClock>, peer: Peer) => {
  clock.advance(2_000)
  await peer.wire.ask({ type: 'get_policy' })
}

describe('a bus that loses messages', () => {
  const leaky = new Leaky()
  const counted = new Map<string, number>()
  const add = (name: string, label: string | undefined, n: number) => counted.set(`${name} ${label}`, (counted.get(`${name} ${label}`) ?? 0) + n)
  const meter: Meter = { count: (name, label, n = 1) => void add(name, label, n), observe: (name, _, label) => void add(name, label, 1) }
  let nodes: Cluster<TestClock>
  beforeAll(async () => (nodes = await cluster((buses[0] as (typeof buses)[0])[1], { through: leaky.through, meter })))
  afterAll(() => nodes[Symbol.asyncDispose]())

  test('costs the order nothing: the queue is read before what comes after the gap', async () => {
    const mesh = await nodes.mesh()
    await using alice = await peerAt(nodes.a, mesh, 'Alice')
    await using bob = await peerAt(nodes.b, mesh, 'Bob')
    await knows(alice, bob)
    const sent: unknown[] = []
    for (let i = 0; i < 12; i++) {
      if (i === 3 || i === 7) leaky.loseOne('"t":"push"')
      sent.push((await alice.send([bob.key], `m${i}`))['messageId'])
    }
    while (pushes(bob).length < sent.length) await bob.wire.next('push')
    expect(pushes(bob)).toEqual(sent)
  })

  test('nor does a session that moved unheard: what was stored meanwhile comes before what follows', async () => {
    const mesh = await nodes.mesh()
    await using alice = await peerAt(nodes.b, mesh, 'Alice')
    await using bob = await peerAt(nodes.a, mesh, 'Bob')
    await knows(alice, bob)
    await bob.drop()
    await knows(alice, bob, false)
    leaky.loseOne('"t":"presence"')
    await moved(bob, nodes.a)
    const first = await alice.send([bob.key], 'to where he was')
    await bob.wire.ask({ type: 'set_status', status: 'working' })
    await knows(alice, bob)
    const second = await alice.send([bob.key], 'to where he is')
    while (pushes(bob).length < 2) await bob.wire.next('push')
    expect(pushes(bob)).toEqual([first['messageId'], second['messageId']])
  })

  test('costs the last message time, and no message is lost or repeated', async () => {
    const mesh = await nodes.mesh()
    await using alice = await peerAt(nodes.a, mesh, 'Alice')
    await using bob = await peerAt(nodes.b, mesh, 'Bob')
    await knows(alice, bob)
    await alice.send([bob.key], 'arrives')
    leaky.loseOne('"t":"push"')
    const { messageId } = await alice.send([bob.key], 'is lost on the way')
    while (!pushes(bob).includes(messageId)) await look(nodes, bob)
    await look(nodes, bob)
    await look(nodes, bob)
    expect(pushes(bob)).toHaveLength(2)
  })

  test('nor is mail: the session that shows it is found by a look into the store', async () => {
    const mesh = await nodes.mesh()
    const member = await mesh.enrolled('Carol')
    const key = member.key.publicKey
    await using alice = await peerAt(nodes.a, mesh, 'Alice')
    await using carol = await peerAt(nodes.b, mesh, 'Vinnie', { member, mail: true })
    await knows(alice, carol)
    leaky.loseOne('"t":"mail"')
    const { messageId } = await alice.send([key], 'is lost on the way', { members: 1, shared: true })
    while (!pushes(carol).includes(messageId)) await look(nodes, carol)
    expect(pushes(carol)).toEqual([messageId])
  })

  test('nor does a change of the shared state stay untold: each is told once, and never to who made it', async () => {
    const mesh = await nodes.mesh()
    await using alice = await peerAt(nodes.a, mesh, 'Alice')
    await using bob = await peerAt(nodes.b, mesh, 'Bob')
    await knows(alice, bob)
    const [told, lost] = [b64u(16), b64u(16)]
    const write = (stateId: string, version: number) => alice.wire.ask({ type: 'set_state', stateId, version, record: { e: 1, n: b64u(24), c: b64u(300) } })
    await write(told, 1)
    await bob.wire.next('state_change')
    leaky.loseOne('state_change')
    await write(lost, 1)
    leaky.loseOne('state_change')
    await write(lost, 2)
    while (changes(bob).length < 2) await look(nodes, bob)
    for (let i = 0; i < 3; i++) await look(nodes, bob)
    expect(changes(bob)).toEqual([
      [told, 1],
      [lost, 2],
    ])
    expect(changes(alice)).toEqual([])
    await write(told, 2)
    expect(await bob.wire.next((frame) => frame.type === 'state_change' && frame['version'] === 2 && frame['stateId'] === told)).toMatchObject({
      writer: alice.key,
    })
  })

  test('nor a memory', async () => {
    const mesh = await nodes.mesh()
    await using alice = await peerAt(nodes.a, mesh, 'Alice')
    await using bob = await peerAt(nodes.b, mesh, 'Bob')
    await knows(alice, bob)
    const remember = () => alice.wire.ask({ type: 'remember', memoryId: b64u(16), record: { e: 1, n: b64u(24), c: b64u(300) } })
    const seqs = () => bob.wire.seen.filter(({ type }) => type === 'memory_change').map((frame) => frame['seq'])
    await remember()
    await bob.wire.next('memory_change')
    leaky.loseOne('memory_change')
    await remember()
    while (seqs().length < 2) await look(nodes, bob)
    for (let i = 0; i < 3; i++) await look(nodes, bob)
    expect(seqs()).toEqual([1, 2])
  })

  test('is counted: what is missing, what was told late, and how long the bus takes', async () => {
    const mesh = await nodes.mesh()
    await using alice = await peerAt(nodes.a, mesh, 'Alice')
    await using bob = await peerAt(nodes.b, mesh, 'Bob')
    await knows(alice, bob)
    const write = () => alice.wire.ask({ type: 'set_state', stateId: b64u(16), version: 1, record: { e: 1, n: b64u(24), c: b64u(300) } })
    await write()
    await bob.wire.next('state_change')
    counted.clear()
    leaky.loseOne('state_change')
    await write()
    await write()
    await bob.wire.next('state_change')
    expect(counted.get('bus_gaps mesh')).toBe(1)
    while (changes(bob).length < 3) await look(nodes, bob)
    expect(counted.get('told_late state')).toBe(1)
    for (const timed of ['bus_seconds undefined', 'store_seconds look']) while (!counted.has(timed)) await look(nodes, bob)
  })

  test('leaves no ghost: rosters are compared with the store', async () => {
    const mesh = await nodes.mesh()
    await using alice = await peerAt(nodes.a, mesh, 'Alice')
    await using bob = await peerAt(nodes.b, mesh, 'Bob')
    await using carol = await peerAt(nodes.a, mesh, 'Carol')
    await knows(bob, carol)
    leaky.loseOne('"t":"away"')
    await carol.drop()
    await knows(alice, carol, false)
    while ((await roster(bob))[carol.key]) await look(nodes, bob)
    expect(await roster(bob)).toEqual(await roster(alice))
    leaky.loseOne('"t":"presence"')
    await moved(carol, nodes.a)
    while (!(await roster(bob))[carol.key]) await look(nodes, bob)
    leaky.loseOne('"t":"gone"')
    carol.wire.send({ type: 'bye' })
    await carol.wire.closed
    while (carol.key in (await roster(bob))) await look(nodes, bob)
  })

  test('lets no revoked member in: the policy is read anew at a hello', async () => {
    const mesh = await nodes.mesh()
    const member = await mesh.enrolled('Bob')
    await using alice = await peerAt(nodes.a, mesh, 'Alice')
    await using carol = await peerAt(nodes.b, mesh, 'Carol')
    leaky.loseOne('"t":"policy"')
    const policy = through(nodes.a, mesh).makePolicy(2, { members: [member.key.publicKey], invites: [], sessions: [] })
    expect(await alice.wire.ask({ type: 'set_policy', policy })).toMatchObject({ type: 'ok' })
    await expect(peerAt(nodes.b, mesh, 'Bob', { member })).rejects.toThrow('revoked')
    expect(await carol.wire.next('policy_changed')).toMatchObject({ policy })
  })
})

describe('a policy whose node went down before anything followed from it', () => {
  let nodes: Cluster<TestClock>
  beforeAll(async () => (nodes = await cluster((buses[0] as (typeof buses)[0])[1])))
  afterAll(() => nodes[Symbol.asyncDispose]())

  test('is found by those who are left: they disconnect whom it revokes, and fail what waits for them', async () => {
    const mesh = await nodes.mesh()
    const member = await mesh.enrolled('Bob')
    const key = member.key.publicKey
    await using alice = await peerAt(nodes.a, mesh, 'Alice')
    await using bob = await peerAt(nodes.b, mesh, 'Bob', { member })
    await knows(alice, bob)
    const sent = await alice.send([bob.key], 'unread')
    const mail = await alice.send([key], 'a letter', { members: 1, shared: true })
    // What a node leaves that commits, and is killed.
    const policy = mesh.makePolicy(2, { members: [key], invites: [], sessions: [] })
    const sql = postgres(nodes.store, { max: 1, onnotice: () => {} })
    await sql`update mesh.mesh set policy = ${policy}, policy_version = 2 where id = ${mesh.id}`
    await sql.end()
    while (bob.wire.ws.readyState !== bob.wire.ws.CLOSED) await look(nodes, alice)
    expect((await bob.wire.closed).code).toBe(4403)
    // Each node looks when it is its time.
    while (!alice.wire.seen.some(({ type }) => type === 'policy_changed')) await look(nodes, alice)
    expect(await alice.wire.next('policy_changed')).toMatchObject({ policy })
    for (const { messageId } of [sent, mail]) {
      const state = async () => ((await alice.wire.ask({ type: 'message_status', messageId }))['recipients'] as Frame[])[0]
      while ((await state())?.['rung'] === 'stored') await look(nodes, alice)
      expect(await state()).toMatchObject({ rung: 'failed', reason: 'revoked' })
    }
  })
})

describe('a node that loses the bus for a moment, unnoticed by the others', () => {
  const frail = new Frail()
  let nodes: Cluster<TestClock>
  beforeAll(async () => (nodes = await cluster((buses[0] as (typeof buses)[0])[1], { through: frail.through })))
  afterAll(() => nodes[Symbol.asyncDispose]())

  test('has what it stored meanwhile read from the queue before what it sends next', async () => {
    const mesh = await nodes.mesh()
    await using alice = await peerAt(nodes.b, mesh, 'Alice')
    await using bob = await peerAt(nodes.a, mesh, 'Bob')
    await knows(alice, bob)
    const first = await alice.send([bob.key], 'before')
    await bob.wire.next('push')
    frail.become(false)
    const second = await alice.send([bob.key], 'meanwhile')
    frail.become(true)
    const third = await alice.send([bob.key], 'after')
    while (pushes(bob).length < 3) await bob.wire.next('push')
    expect(pushes(bob)).toEqual([first, second, third].map((ack) => ack['messageId']))
  })
})

describe('a node that falls silent', () => {
  const leaky = new Leaky()
  let nodes: Cluster<TestClock>
  beforeAll(async () => (nodes = await cluster((buses[0] as (typeof buses)[0])[1], { through: leaky.through })))
  afterAll(() => nodes[Symbol.asyncDispose]())

  test('is missed within two seconds, its sessions stay recipients, and it is believed again when it is heard', async () => {
    const mesh = await nodes.mesh()
    await using alice = await peerAt(nodes.a, mesh, 'Alice')
    await using bob = await peerAt(nodes.b, mesh, 'Bob')
    await knows(alice, bob)
    leaky.mute = true
    nodes.clock.advance(2_000)
    await counts(nodes, alice, bob, false)
    const ack = await alice.send([bob.key], 'are you there?')
    expect(ack).toMatchObject({ queued: 1, gone: [] })
    while (pushes(bob).length === 0) await passes(nodes, alice, bob)
    expect(await bob.wire.next('push')).toMatchObject({ messageId: ack['messageId'] })
    leaky.mute = false
    await counts(nodes, alice, bob, true)
    await alice.send([bob.key], 'there you are')
    expect(await bob.wire.next('push')).toMatchObject({ senderPubkey: alice.key })
  })

  test('does not make its sessions stale while the store says that it runs', async () => {
    const mesh = await nodes.mesh()
    await using alice = await peerAt(nodes.a, mesh, 'Alice')
    await using bob = await peerAt(nodes.b, mesh, 'Bob')
    await knows(alice, bob)
    leaky.mute = true
    nodes.clock.advance(2_000)
    await counts(nodes, alice, bob, false)
    for (let i = 0; i < 1_100; i++) await passes(nodes, alice, bob)
    expect(alice.wire.seen.filter((frame) => frame.type === 'peer_gone')).toEqual([])
    leaky.mute = false
    await counts(nodes, alice, bob, true)
  })
})

describe.runIf(natsThere)('a NATS that stops', () => {
  test('costs time alone: messages and rosters come from the store, and speed returns with it', async () => {
    await using server = await NatsServer.start()
    const meeting = { open: () => openBus(server.url), [Symbol.asyncDispose]: async () => {} }
    await using nodes = await cluster(async () => meeting, { clock: systemClock })
    const mesh = await nodes.mesh()
    await using alice = await peerAt(nodes.a, mesh, 'Alice')
    await using bob = await peerAt(nodes.b, mesh, 'Bob')
    await knows(alice, bob)
    const first = await alice.send([bob.key], 'by the bus')
    await bob.wire.next('push')
    await server.stop()
    const second = await alice.send([bob.key], 'by the store')
    await bob.wire.next('push')
    await using carol = await peerAt(nodes.b, mesh, 'Carol')
    await knows(alice, carol)
    expect(await roster(alice)).toMatchObject({ [bob.key]: true, [carol.key]: true })
    await server.restart()
    await bob.wire.ask({ type: 'set_status', status: 'working' })
    expect(await knows(alice, bob)).toMatchObject({ status: 'working' })
    const third = await alice.send([bob.key], 'again')
    await bob.wire.next('push')
    expect(pushes(bob)).toEqual([first, second, third].map((ack) => ack['messageId']))
  })
})
