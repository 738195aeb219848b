import type { Server } from 'node:http'
import type { Duplex } from 'node:stream'
import type { WebSocket } from 'ws'
import { ready, TokenCache } from '@claudemesh/crypto'
import { closeCodes, limits, MeshError, silent, systemClock, times, type Clock, type Log } from '@claudemesh/protocol'
import { takeForNode } from './arrivals.ts'
import { causeOf } from './cause.ts'
import { Census } from './census.ts'
import { inconsistencies } from './consistency.ts'
import { answerHttp } from './http.ts'
import type { Kernel, MetricsPage, Tapped } from './kernel.ts'
import { tell } from './lifecycle.ts'
import { Greeters, type GreetingCaps } from './greeters.ts'
import { listen, portOf } from './listen.ts'
import { Membership } from './membership.ts'
import { Meshes } from './meshes.ts'
import { Nodes } from './nodes.ts'
import type { Blob, Bus, Claim, Store } from './ports.ts'
import { following } from './reconcile.ts'
import { Session } from './session.ts'
import { SharedChains } from './shared-chains.ts'
import { startSweep } from './sweep.ts'
import type { Tracer } from './tracing.ts'
import { Transfers } from './transfers.ts'
import { Turn } from './turn.ts'
import { Writer } from './writer.ts'
import { figuresOf } from './figures.ts'
import { Limiter } from './limiter.ts'
import { Load, type Readings } from './load.ts'
import { noMeter, type Figures, type Meter } from './meter.ts'
import { defaultRates, type Rates } from './rates.ts'
import { ReadingRoom } from './reading.ts'
import { Recent } from './recent.ts'

export interface BrokerOptions {
  /** Opened and migrated; it stays the caller's to dispose of, after the broker. */
  readonly store: Store
  /** Where files are kept; it stays the caller's to dispose of, after the broker. Without one, uploads are refused. */
  readonly blob?: Blob
  /** Bytes that the files of one mesh may take. Default: 5 GiB. */
  readonly fileQuota?: number
  /** 0, the default, is any free port. */
  readonly port?: number
  /** The address to listen on. Default: 127.0.0.1. */
  readonly host?: string
  /** The way to other brokers on the same store; without a shared one this broker is alone. */
  readonly bus?: Bus
  /** What logs call this broker among others; what makes it unique is added. */
  readonly node?: string
  /** Public addresses clients dial, such as wss://mesh.example.com. Default: the loopback names of host and port. */
  readonly origins?: readonly string[]
  /** Origins of web pages that may connect. Default: none. */
  readonly pages?: readonly string[]
  /** Whether anybody may bring a new mesh. Default: true. */
  readonly allowCreate?: boolean
  readonly greetings?: Partial<GreetingCaps>
  /** Of the program that runs it; `/healthz` tells it. */
  readonly version?: string
  /** How many proxies stand in front and add to X-Forwarded-For; addresses are counted as the outermost of them names them. Default: 0. */
  readonly proxies?: number
  /** How much anybody may ask, or false for no limit. Default: `defaultRates`. */
  readonly rates?: Rates | false
  /** The longest delay of the event loop since the last call, in milliseconds; with it the broker sheds load when it is late. */
  readonly lag?: () => number
  /** Told of what happens. */
  readonly meter?: Meter
  /** Told of each piece of work, and of what caused it. */
  readonly tracer?: Tracer
  /** What GET /metrics gives; without it there is no such page. */
  readonly metrics?: MetricsPage
  readonly clock?: Clock
  readonly log?: Log
  /** Called with what the broker sees of each envelope. */
  readonly tap?: (frame: Tapped) => void
}

/** A running broker. Disposing of it closes every connection with 1012 and commits what it took. */
export interface Broker extends AsyncDisposable {
  readonly port: number
  /** `ws://host:port`, the audience of a hello on this machine. */
  readonly url: string
  /** What it holds at this moment. */
  figures(): Figures
  /** Resolves with the reason when the broker has to stop by itself, which it does like one that is disposed of; otherwise never. */
  readonly failed: Promise<MeshError>
  /** What memory, sockets and store disagree about, a sentence each; none when all is well. For a broker at rest. */
  consistencyCheck(): Promise<string[]>
}

/** Starts a broker; it serves once the promise resolves. */
export async function createBroker(options: BrokerOptions): Promise<Broker> {
  await ready()
  const running = new Running(options)
  try {
    await running.start()
  } catch (error) {
    await running[Symbol.asyncDispose]()
    throw error
  }
  return running
}

const graceful = 2_000
const ended = 'the embedded store has ended; start the broker again: what it acknowledged is on the disk'
/** At least so many of the newest sends are known by their ids, and at most twice as many: some 16 MB. */
const remembered = 65_536

/** Certificates of admins, invites and members that are kept once for all their sessions: some 2 MB at most. */
const sharedTokens = 4096

const nodeId = (name = 'node') => `${name}-${Buffer.from(crypto.getRandomValues(new Uint8Array(9))).toString('base64url')}`

class Running implements Broker {
  readonly #options: BrokerOptions
  readonly #kernel: Kernel
  readonly #audiences = new Set<string>()
  readonly #sessions = new Map<Session, Duplex>()
  readonly #greeters: Greeters
  #server: Server | undefined
  #closing: Promise<void> | undefined
  readonly #failing = Promise.withResolvers<MeshError>()
  #cancelPing: () => void = () => {}
  #stopSweep: () => Promise<void> = async () => {}
  #claimed: Claim | undefined
  #membership: Membership | undefined
  #stopHearing: () => void = () => {}

  constructor(options: BrokerOptions) {
    this.#options = options
    this.#greeters = new Greeters({ total: 4096, perAddress: 1024, ...options.greetings })
    const { clock = systemClock, log = silent, meter = noMeter, rates = defaultRates, store, blob, pages = [], allowCreate = true, tap } = options
    const { fileQuota = limits.filesPerMesh, tracer } = options
    const meshes = new Meshes()
    const turn = new Turn()
    const writer = new Writer({ db: store.db, log, clock, meter, tracer }, (settled) => tell({ meshes, meter }, settled))
    this.#kernel = {
      db: store.db,
      blob,
      transfers: new Transfers(),
      fileQuota,
      clock,
      log,
      meter,
      tracer,
      census: new Census(),
      limiter: new Limiter(rates === false ? undefined : rates),
      load: new Load(() => this.#readings(), writer.backlog),
      turn,
      reading: new ReadingRoom(turn),
      writer,
      meshes,
      recent: new Recent(remembered),
      nodes: new Nodes(nodeId(options.node), options.bus, turn, { log, meter }),
      tokens: new TokenCache(),
      chains: new SharedChains(sharedTokens),
      audiences: this.#audiences,
      pages: new Set(pages),
      allowCreate,
      startedAt: clock.now(),
      version: options.version,
      draining: () => this.#closing !== undefined,
      metrics: options.metrics,
      tap,
    }
  }

  get port(): number {
    return this.#server ? portOf(this.#server) : 0
  }

  get url(): string {
    const host = this.#options.host ?? '127.0.0.1'
    return `ws://${host.includes(':') ? `[${host}]` : host}:${this.port}`
  }

  figures(): Figures {
    return figuresOf(this.#kernel, { connections: this.#sessions.size, greeting: this.#greeters.size, outbox: this.#outboxBytes() })
  }

  get failed(): Promise<MeshError> {
    return this.#failing.promise
  }

  consistencyCheck(): Promise<string[]> {
    return inconsistencies(this.#kernel, new Set(this.#sessions.keys()))
  }

  async start(): Promise<void> {
    void this.#options.store.gone?.then((error) => this.#fail('store_ended', new MeshError('storage_unavailable', ended, { cause: error })))
    await this.#claim()
    await this.#join()
    const { port = 0, host = '127.0.0.1', origins, proxies = 0 } = this.#options
    this.#server = await listen(port, host, {
      log: this.#kernel.log,
      pages: this.#kernel.pages,
      proxies,
      admits: (address) => this.#closing === undefined && this.#greeters.admits(address),
      connected: (ws, socket, address) => this.#connected(ws, socket, address),
      request: (request, response, address) => void answerHttp(this.#kernel, request, response, address),
    })
    const loopback = ['127.0.0.1', 'localhost', '[::1]'].map((name) => `ws://${name}:${this.port}`)
    for (const origin of origins ?? [this.url, ...loopback]) this.#audiences.add(origin)
    this.#schedulePing()
    this.#stopSweep = startSweep(this.#kernel)
  }

  async #claim(): Promise<void> {
    const { store } = this.#options
    if (!store.claim) return
    const shared = this.#kernel.nodes.bus !== undefined
    const claimed = new MeshError(
      'unavailable',
      shared
        ? 'a broker without BUS_URL serves this store; stop it, or give it the same BUS_URL'
        : 'another broker serves this store; to run several, set the same BUS_URL (nats://host:port) on each of them',
    )
    this.#claimed = await store.claim(shared ? 'shared' : 'alone', () => this.#fail('claim_lost', claimed))
    if (!this.#claimed) throw claimed
  }

  /** Without its store no broker serves; nor beside another one that took the claim on it: two would keep messages from each other's sessions. */
  #fail(event: 'claim_lost' | 'store_ended', why: MeshError): void {
    this.#kernel.log('error', event, { remedy: why.message, ...(why.cause === undefined ? {} : { cause: causeOf(why.cause) }) })
    this.#failing.resolve(why)
    void this[Symbol.asyncDispose]().catch((error: unknown) => this.#kernel.log('error', 'store_failed', { what: 'stop', cause: causeOf(error) }))
  }

  /** Meets the other nodes before anybody may greet this one. */
  async #join(): Promise<void> {
    const { bus } = this.#kernel.nodes
    if (!bus) return
    this.#stopHearing = await this.#kernel.nodes.hearNode({ take: (parcel, from) => takeForNode(this.#kernel, parcel, from), missed: () => {} })
    this.#membership = await Membership.join(this.#kernel, bus, following(this.#kernel))
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    this.#cancelPing()
    await this.#stopSweep()
    const closed = new Promise<void>((resolve) => (this.#server ? this.#server.close(() => resolve()) : resolve()))
    // What was taken before is answered first; what comes now is answered, or sent again to the broker that is met next.
    await this.#kernel.writer.settled()
    const gone = [...this.#sessions].map(([session, socket]) => this.#dismiss(session, socket))
    this.#server?.closeAllConnections()
    await Promise.all(gone)
    await closed
    await this.#kernel.writer.settled()
    this.#kernel.writer.end()
    this.#kernel.nodes.flush()
    await this.#membership?.[Symbol.asyncDispose]()
    this.#stopHearing()
    for (const mesh of this.#kernel.meshes.all()) mesh.close()
    await this.#claimed?.[Symbol.asyncDispose]()
  }

  #connected(ws: WebSocket, socket: Duplex, address: string): void {
    const session = new Session(
      this.#kernel,
      ws,
      { socket, address },
      {
        greeted: () => this.#greeters.remove(session),
        closed: (left) => this.#sessions.delete(left),
      },
    )
    this.#greeters.add(session, address)
    this.#sessions.set(session, socket)
  }

  #readings(): Readings {
    const { since } = this.#kernel.writer.waiting
    return { lag: this.#options.lag?.() ?? 0, age: since === undefined ? 0 : this.#kernel.clock.now() - since, outbox: this.#outboxBytes() }
  }

  #outboxBytes(): number {
    let bytes = 0
    for (const session of this.#sessions.keys()) bytes += session.outbox.waiting
    return bytes
  }

  /** Says goodbye and waits until the peer has taken it, or does not. */
  #dismiss(session: Session, socket: Duplex): Promise<void> {
    return new Promise((resolve) => {
      const cancel = this.#kernel.clock.after(graceful, () => socket.destroy())
      socket.once('close', () => {
        cancel()
        resolve()
      })
      session.refuse(new MeshError('shutting_down', 'the broker is going down', { retryAfter: this.#comeBack() }), closeCodes.restart)
      // A peer that has not taken its mail for a while will not take the farewell either.
      if (socket.destroyed || socket.writableNeedDrain) socket.destroy()
      else socket.end()
      if (socket.closed) resolve()
    })
  }

  /** Milliseconds until a client may come back: at most five seconds, so spread that a thousand come in a second. */
  #comeBack(): number {
    const [random = 0] = crypto.getRandomValues(new Uint16Array(1))
    return 100 + Math.round((random / 65_536) * Math.min(5_000, Math.max(200, this.#sessions.size)))
  }

  #schedulePing(): void {
    this.#cancelPing = this.#kernel.clock.after(times.ping, () => {
      for (const session of this.#sessions.keys()) session.ping()
      void this.#claimed?.check()
      this.#schedulePing()
    })
  }
}
