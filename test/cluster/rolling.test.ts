import { createMesh, Mesh, type Identity, type ReceivedMessage } from '@claudemesh/client'
import { nodeDial, nodeRandom } from '@claudemesh/client/node'
import { systemClock } from '@claudemesh/protocol'
import { describe, expect, inject, test } from 'vitest'
import { Balancer } from '../harness/balancer.ts'
import { change, record } from '../harness/events.ts'
import { newSession } from '../harness/mesh.ts'
import { NatsServer, natsThere } from '../harness/nats.ts'
import { postgresUrl } from '../harness/postgres.ts'
import { brokerProcess, type BrokerProcess } from './processes.ts'

const clock = systemClock
const names = ['Alice', 'Bob', 'Carol'] as const

/** Two brokers in processes of their own behind a balancer, and three clients that dial only that. */
class Service implements AsyncDisposable {
  readonly #stack: AsyncDisposableStack
  readonly #env: Record<string, string>
  readonly balancer: Balancer
  brokers: BrokerProcess[] = []

  private constructor(stack: AsyncDisposableStack, env: Record<string, string>, balancer: Balancer) {
    this.#stack = stack
    this.#env = env
    this.balancer = balancer
  }

  static async start(): Promise<Service> {
    await using stack = new AsyncDisposableStack()
    const nats = stack.use(await NatsServer.start())
    const balancer = stack.use(await Balancer.start())
    const env = { STORE_URL: await postgresUrl(inject('postgres')), BUS_URL: nats.url, PUBLIC_URL: `ws://127.0.0.1:${balancer.port}` }
    const service = new Service(stack.move(), env, balancer)
    await service.add()
    await service.add()
    return service
  }

  get url(): string {
    return `ws://127.0.0.1:${this.balancer.port}/ws`
  }

  async add(): Promise<void> {
    this.brokers.push(this.#stack.use(await brokerProcess(this.#env)))
    this.#balance()
  }

  /** Ends the oldest broker, and has the balancer know only the rest. */
  async end(signal: 'SIGTERM' | 'SIGKILL'): Promise<number | null> {
    const oldest = this.brokers.shift() as BrokerProcess
    this.#balance()
    return oldest.end(signal)
  }

  #balance(): void {
    this.balancer.ports = this.brokers.map(({ port }) => port)
  }

  async client(identity: Identity, name: string): Promise<Mesh> {
    const mesh = await Mesh.connect({ url: this.url, identity, session: newSession(), name, clock, dial: nodeDial, random: nodeRandom })
    record(mesh)
    return mesh
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack[Symbol.asyncDispose]()
  }
}

/** Three clients that send each other numbered messages until told to stop, each one after the answer to the last. */
class Traffic {
  readonly received = new Map<string, string[]>(names.map((name) => [name, []]))
  readonly #senders: Promise<number>[]
  #stopped = false
  #wake = () => {}

  constructor(clients: readonly Mesh[]) {
    for (const client of clients) client.on('message', (message) => this.#take(client, message))
    this.#senders = clients.map((client) => this.#send(client))
  }

  /** Resolves once every client has received this many more messages from each other one. */
  async more(count: number): Promise<void> {
    const before = new Map(this.#counts())
    while ([...this.#counts()].some(([pair, n]) => n < (before.get(pair) ?? 0) + count)) await new Promise<void>((resolve) => (this.#wake = resolve))
  }

  /** What each sender sent in all, once everything has arrived everywhere. */
  async stop(): Promise<number[]> {
    this.#stopped = true
    const sent = await Promise.all(this.#senders)
    const total = (me: number) => sent.reduce((sum, n, i) => (i === me ? sum : sum + n), 0)
    while (names.some((name, i) => (this.received.get(name)?.length ?? 0) < total(i))) await new Promise<void>((resolve) => (this.#wake = resolve))
    return sent
  }

  async #send(client: Mesh): Promise<number> {
    let n = 0
    while (!this.#stopped) await client.send({ to: '*', message: `${client.me.name} ${n++}` })
    return n
  }

  #take(client: Mesh, message: ReceivedMessage): void {
    this.received.get(client.me.name)?.push(message.text)
    client.surfaced([message])
    this.#wake()
  }

  #counts(): [string, number][] {
    return names.flatMap((to) => names.filter((from) => from !== to).map((from): [string, number] => [`${from} ${to}`, this.#from(to, from).length]))
  }

  #from(to: string, from: string): string[] {
    return (this.received.get(to) ?? []).filter((text) => text.startsWith(`${from} `))
  }

  /** What each received of each, by pair. */
  pairs(): [string, string[]][] {
    return names.flatMap((to) => names.filter((from) => from !== to).map((from): [string, string[]] => [from, this.#from(to, from)]))
  }
}

describe.runIf(natsThere)('brokers in processes of their own', () => {
  test.each([
    ['SIGTERM', 0],
    ['SIGKILL', null],
  ] as const)('are replaced one by one with %s: nothing is lost, repeated or out of order', async (signal, code) => {
    await using service = await Service.start()
    const founder = await createMesh({ url: service.url, slug: 'rolling', name: 'Founder', clock, dial: nodeDial, random: nodeRandom })
    const clients: Mesh[] = []
    for (const name of names) clients.push(await service.client(founder, name))
    for (const client of clients) while (client.peers().filter((peer) => peer.connected).length < 2) await change(client, 'peer')
    const traffic = new Traffic(clients)
    for (let round = 0; round < 2; round++) {
      await traffic.more(10)
      await service.add()
      expect(await service.end(signal)).toBe(code)
    }
    await traffic.more(10)
    const sent = await traffic.stop()
    for (const [from, texts] of traffic.pairs()) {
      const count = sent[names.indexOf(from as (typeof names)[number])] as number
      expect(texts).toEqual(Array.from({ length: count }, (_, i) => `${from} ${i}`))
    }
    for (const client of clients) await client.close({ bye: true })
  })
})
