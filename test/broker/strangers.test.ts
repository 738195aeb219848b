import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { createBroker, type BrokerOptions, type Store } from '@claudemesh/broker'
import { openStore } from '@claudemesh/drivers'
import { TestClock } from '../harness/clock.ts'
import { Line } from '../harness/line.ts'
import { postgresUrl } from '../harness/postgres.ts'
import { b64u, dial, Peer, TestMesh } from './kit.ts'
import { slowInserts } from './slow-inserts.ts'

let store: Store
beforeAll(async () => void (store = await openStore('pglite:')))
afterAll(() => store[Symbol.asyncDispose]())

/** A broker that believes what X-Forwarded-For says, so that one machine can be many addresses. */
async function at(options: Partial<BrokerOptions> = {}) {
  const clock = new TestClock()
  const broker = await createBroker({ store, clock, proxies: 1, ...options })
  return { broker, clock, mesh: await new TestMesh(broker.url, clock).create() }
}

const upgrade = (address: string) =>
  `GET /ws HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\nsec-websocket-version: 13\r\nx-forwarded-for: ${address}\r\n\r\n`

/** A bare socket that asks for a WebSocket and then does as the test says; everything that it hears. */
class Stranger {
  readonly socket: Socket
  readonly closed: Promise<boolean>
  heard = ''

  private constructor(socket: Socket) {
    this.socket = socket
    this.closed = new Promise((resolve) => socket.once('close', resolve))
    // A reset is an end like any other.
    socket.on('error', () => {})
    socket.on('data', (data: Buffer) => (this.heard += data.toString('latin1')))
  }

  static async come(port: number, address: string): Promise<Stranger> {
    const socket = connect(port, '127.0.0.1')
    const stranger = new Stranger(socket)
    await once(socket, 'connect')
    socket.write(upgrade(address))
    await stranger.hears(/challenge|HTTP\/1\.1 503/)
    return stranger
  }

  /** Resolves once it has heard such words. */
  hears(words: RegExp): Promise<void> {
    return new Promise((resolve, reject) => {
      const look = () => {
        if (!words.test(this.heard)) return
        this.socket.off('data', look)
        resolve()
      }
      this.socket.on('data', look)
      this.socket.once('close', () => reject(new Error(`closed, having heard ${this.heard}`)))
      look()
    })
  }
}

async function crowd(port: number, count: number, address: (i: number) => string): Promise<Stranger[]> {
  const all: Stranger[] = []
  for (let i = 0; i < count; i += 100)
    all.push(...(await Promise.all(Array.from({ length: Math.min(100, count - i) }, (_, j) => Stranger.come(port, address(i + j))))))
  return all
}

describe('5,000 connections that say nothing', () => {
  test('take no place from who greets: beyond 4,096 the one that has been silent for the longest goes, and all go after ten seconds', async () => {
    const { broker, clock, mesh } = await at()
    await using alice = await mesh.peer('Alice')
    const strangers = await crowd(broker.port, 5000, (i) => `198.51.100.${i % 5}`)
    expect(broker.figures().greeting).toBe(4096)
    for (const stranger of strangers.slice(0, 904)) await stranger.hears(/"code":"hello_timeout","message":"too many wait here without a word/)
    expect(strangers.slice(904).some(({ heard }) => heard.includes('"error"'))).toBe(false)
    await using bob = new Peer(mesh, { name: 'Bob' })
    await bob.connect()
    expect(await alice.send([bob.key], 'undisturbed')).toMatchObject({ type: 'ack', queued: 1 })
    // They do not even answer the close.
    for (const { socket } of strangers) socket.pause()
    clock.advance(10_000)
    clock.advance(5_000)
    for (const { socket } of strangers) socket.resume()
    await Promise.all(strangers.map(({ closed }) => closed))
    expect(broker.figures()).toMatchObject({ greeting: 0, sessions: 2 })
    await broker[Symbol.asyncDispose]()
  })

  test('from one address are 1,024; the rest of them is turned away, others are not', async () => {
    const { broker } = await at()
    const strangers = await crowd(broker.port, 1100, () => '198.51.100.7')
    expect(strangers.filter(({ heard }) => heard.startsWith('HTTP/1.1 503 ')).length).toBe(76)
    expect((await Stranger.come(broker.port, '203.0.113.1')).heard).toContain('challenge')
    await broker[Symbol.asyncDispose]()
  })

  test('who is being greeted keeps its place', async () => {
    const { broker, mesh } = await at({ greetings: { total: 2 } })
    const bob = new Peer(mesh, { name: 'Bob' })
    const first = await dial(broker.url)
    const stranger = await Stranger.come(broker.port, '198.51.100.7')
    // In one turn: the hello is being checked when the next one comes.
    const answer = first.wire.ask(bob.helloFrame(first.nonce))
    const next = await Stranger.come(broker.port, '198.51.100.8')
    const last = await Stranger.come(broker.port, '198.51.100.9')
    expect((await answer).type).toBe('hello_ack')
    await stranger.hears(/hello_timeout/)
    for (const { heard } of [next, last]) expect(heard).toContain('challenge')
    await first.wire[Symbol.asyncDispose]()
    await broker[Symbol.asyncDispose]()
  })
})

describe('slow words', () => {
  const frameOf = (bytes: number) => Buffer.from([0x81, 0xfe, bytes >> 8, bytes & 255, 0, 0, 0, 0])

  test('before hello end with the ten seconds, also in the middle of a frame', async () => {
    const { broker, clock } = await at()
    const stranger = await Stranger.come(broker.port, '198.51.100.7')
    stranger.socket.write(Buffer.concat([frameOf(2000), Buffer.from('{"type":"hello",')]))
    clock.advance(9_999)
    expect(broker.figures().greeting).toBe(1)
    clock.advance(1)
    await stranger.hears(/hello_timeout/)
    clock.advance(5_000)
    await stranger.closed
    await broker[Symbol.asyncDispose]()
  })

  test('of a session end when three pings had no answer: its frame never comes to an end, and a pong would be part of it', async () => {
    const { broker, clock, mesh } = await at()
    await using alice = await mesh.peer('Alice')
    const stranger = await Stranger.come(broker.port, '198.51.100.7')
    const hello = JSON.stringify(new Peer(mesh, { name: 'Bob' }).helloFrame(/"nonce":"([\w-]+)"/.exec(stranger.heard)?.[1] ?? ''))
    stranger.socket.write(Buffer.concat([frameOf(hello.length), Buffer.from(hello)]))
    await stranger.hears(/hello_ack/)
    stranger.socket.write(Buffer.concat([frameOf(60_000), Buffer.from('{"type":"send",')]))
    for (let i = 0; i < 4; i++) {
      stranger.socket.write('x')
      clock.advance(30_000)
      await alice.wire.ask({ type: 'get_policy' })
      await new Promise((resolve) => alice.wire.ws.ping('', true, resolve))
      await alice.wire.ask({ type: 'get_policy' })
    }
    await stranger.closed
    expect(broker.figures().sessions).toBe(1)
    await broker[Symbol.asyncDispose]()
  })
})

test('a peer behind a line that died is away after three pings, and its mail waits', async () => {
  const { broker, clock, mesh } = await at()
  await using line = await Line.to(broker.port)
  await using alice = await mesh.peer('Alice')
  const bob = new Peer(mesh, { name: 'Bob' })
  const { wire, nonce } = await dial(`ws://127.0.0.1:${line.port}`)
  expect((await wire.ask(bob.helloFrame(nonce))).type).toBe('hello_ack')
  line.freeze()
  for (let i = 0; i < 4; i++) {
    clock.advance(30_000)
    await alice.wire.ask({ type: 'get_policy' })
    await new Promise((resolve) => alice.wire.ws.ping('', true, resolve))
    await alice.wire.ask({ type: 'get_policy' })
  }
  await alice.wire.next(
    (frame) => frame.type === 'peer_update' && JSON.stringify(frame).includes(bob.key) && JSON.stringify(frame).includes('"connected":false'),
  )
  expect(await alice.send([bob.key], 'are you there?')).toMatchObject({ type: 'ack', queued: 1 })
  expect(broker.figures().sessions).toBe(1)
  line.cut()
  await wire.closed
  await broker[Symbol.asyncDispose]()
})

describe('a flood of hellos that are not signed by whom they name', () => {
  test('is checked a hundred times, then put off unread by its address; sessions and other addresses notice nothing', async () => {
    const { broker, clock, mesh } = await at()
    await using alice = await mesh.peer('Alice')
    const victim = new Peer(mesh, { name: 'Bob' })
    const greet = async (address: string, forged: boolean) => {
      const { wire, nonce } = await dial(broker.url, { headers: { 'x-forwarded-for': address } })
      const answer = await wire.ask({ ...victim.helloFrame(nonce), ...(forged ? { signature: b64u(64) } : {}) })
      const closed = forged ? (await wire.closed).code : 0
      await wire[Symbol.asyncDispose]()
      return `${answer.type} ${String(answer['code'])} ${closed}`
    }
    const answers: string[] = []
    for (let i = 0; i < 130; i++) answers.push(await greet('198.51.100.7', true))
    expect(Map.groupBy(answers, (answer) => answer)).toEqual(
      new Map([
        ['error unauthorized 4401', answers.slice(0, 100)],
        ['error rate_limited 1013', answers.slice(100)],
      ]),
    )
    expect(await alice.wire.ask({ type: 'get_policy' })).toMatchObject({ type: 'policy' })
    expect(await greet('203.0.113.1', false)).toMatch(/^hello_ack /)
    expect(await greet('198.51.100.7', false)).toMatch(/^error rate_limited /)
    clock.advance(40_000)
    expect(await greet('198.51.100.7', false)).toMatch(/^hello_ack /)
    await broker[Symbol.asyncDispose]()
  })
})

test.each([
  ['another path', upgrade('198.51.100.7').replace('/ws', '/elsewhere'), '404'],
  ['a page of a foreign origin', upgrade('198.51.100.7').replace('host: x', 'host: x\r\norigin: https://evil.example'), '403'],
])(
  'who asks for a WebSocket at %s, is refused, and never closes, keeps no socket of the broker, and cannot keep it from going down',
  async (_, ask, status) => {
    const { broker } = await at()
    const socket = connect({ port: broker.port, host: '127.0.0.1', allowHalfOpen: true })
    socket.write(ask)
    const [answer] = (await once(socket, 'data')) as [Buffer]
    expect(answer.toString()).toMatch(new RegExp(`^HTTP/1.1 ${status} `))
    // It ends when no socket is left.
    await broker[Symbol.asyncDispose]()
    socket.destroy()
  },
)

test('who asks for a WebSocket while the broker goes down is told to come later, and cannot hold it up', async () => {
  const url = await postgresUrl(inject('postgres'))
  await using own = await openStore(url)
  const { broker, mesh } = await at({ store: own })
  await using alice = await mesh.peer('Alice')
  await using bob = await mesh.peer('Bob')
  const inserts = await slowInserts(url)
  const frame = alice.sendFrame([bob.key], 'is waited for')
  alice.wire.send(frame)
  await inserts.waits()
  const socket = connect({ port: broker.port, host: '127.0.0.1', allowHalfOpen: true })
  const [begin, end] = upgrade('198.51.100.7').split('upgrade: websocket')
  await new Promise((resolve) => socket.write(begin as string, resolve))
  await alice.wire.ask({ type: 'get_policy' })
  const down = broker[Symbol.asyncDispose]()
  socket.write(`upgrade: websocket${end}`)
  const [answer] = (await once(socket, 'data')) as [Buffer]
  expect(answer.toString()).toMatch(/^HTTP\/1.1 503 /)
  await inserts.release()
  // It never closes, and the broker does not wait for it.
  await down
  expect(await alice.wire.next((told) => told['id'] === frame['id'])).toMatchObject({ type: 'ack' })
  socket.destroy()
})
