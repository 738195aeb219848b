import { randomBytes } from 'node:crypto'
import { WebSocket, type ClientOptions } from 'ws'
import { createBroker, type Broker, type BrokerOptions } from '@claudemesh/broker'
import {
  inviteKey,
  issueInvite,
  issueMember,
  issuePolicy,
  issuePresence,
  issueSession,
  memberIdOf,
  memberKey,
  meshIdOf,
  PairKeys,
  ready,
  rootKey,
  seal,
  SendCounters,
  sessionKey,
  signCreate,
  signEnrol,
  signHello,
  type Allow,
  type MemberKey,
  type RootKey,
  type SessionKey,
} from '@claudemesh/crypto'
import { openStore } from '@claudemesh/drivers'
import type { ClientId, Clock, MeshId, RecipientPubkey, SessionPubkey } from '@claudemesh/protocol'
import { TestClock } from '../harness/clock.ts'

await ready()

export type Frame = Record<string, unknown> & { type: string }
export const random = (n: number): Uint8Array => randomBytes(n)
export const b64u = (n: number): string => randomBytes(n).toString('base64url')
export const clientId = () => b64u(16) as ClientId

/** A broker of one's own over a store, both gone at the end of the scope. */
export async function testBroker(url: string, options: Partial<BrokerOptions> = {}): Promise<Broker & { clock: TestClock }> {
  const store = await openStore(url)
  const clock = (options.clock as TestClock | undefined) ?? new TestClock()
  const broker = await createBroker({ store, clock, ...options })
  return {
    port: broker.port,
    url: broker.url,
    failed: broker.failed,
    figures: () => broker.figures(),
    clock,
    consistencyCheck: () => broker.consistencyCheck(),
    [Symbol.asyncDispose]: async () => {
      await broker[Symbol.asyncDispose]()
      await store[Symbol.asyncDispose]()
    },
  }
}

/** One socket, spoken to frame by frame. */
export class Wire implements AsyncDisposable {
  readonly ws: WebSocket
  readonly #frames: Frame[] = []
  readonly #waiting: { match: (frame: Frame) => boolean; take: (frame: Frame) => void; fail: (error: Error) => void }[] = []
  readonly seen: Frame[] = []
  readonly closed: Promise<{ code: number; reason: string }>

  constructor(url: string, options: ClientOptions = {}) {
    this.ws = new WebSocket(`${url}/ws`, { perMessageDeflate: false, ...options })
    this.closed = new Promise((resolve) => this.ws.on('close', (code, reason) => resolve({ code, reason: reason.toString() })))
    this.ws.on('error', () => {})
    this.ws.on('message', (data) => this.#take(JSON.parse((data as Buffer).toString()) as Frame))
    this.ws.on('close', (code, reason) => {
      for (const { fail } of this.#waiting.splice(0))
        fail(new Error(`closed with ${code} ${reason.toString()}; seen: ${this.seen.map((f) => f.type).join(' ')}`))
    })
  }

  #take(frame: Frame): void {
    this.seen.push(frame)
    const i = this.#waiting.findIndex(({ match }) => match(frame))
    if (i < 0) this.#frames.push(frame)
    else this.#waiting.splice(i, 1)[0]?.take(frame)
  }

  /** The next frame that matches, seen or to come. */
  next(match: string | ((frame: Frame) => boolean)): Promise<Frame> {
    const test = typeof match === 'string' ? (frame: Frame) => frame.type === match : match
    const i = this.#frames.findIndex(test)
    if (i >= 0) return Promise.resolve(this.#frames.splice(i, 1)[0] as Frame)
    if (this.ws.readyState === WebSocket.CLOSED) return Promise.reject(new Error('closed'))
    return new Promise((take, fail) => this.#waiting.push({ match: test, take, fail }))
  }

  send(frame: object | string | Buffer): void {
    const raw = typeof frame === 'string' || Buffer.isBuffer(frame)
    this.ws.send(raw ? frame : JSON.stringify(frame), { binary: false })
  }

  /** Sends a request and gives its answer, be it an error. */
  async ask(frame: Record<string, unknown>): Promise<Frame> {
    const id = (frame['id'] as string | undefined) ?? b64u(6)
    this.send({ ...frame, id })
    return this.next((answer) => answer['id'] === id && answer.type !== 'push')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.ws.readyState === WebSocket.CLOSED) return
    this.ws.close()
    await this.closed
  }
}

export async function dial(url: string, options: ClientOptions = {}): Promise<{ wire: Wire; nonce: string }> {
  const wire = new Wire(url, options)
  const challenge = await wire.next('challenge')
  return { wire, nonce: challenge['nonce'] as string }
}

const sealed: Allow = { plaintext: false, legacyBox: false, memory: 'sealed', state: 'sealed', files: 'sealed' }
export const nobody = { members: [], invites: [], sessions: [] }

/** A mesh with its keys in hand: founder, invites and members are made at will. */
export class TestMesh {
  readonly root: RootKey = rootKey(random(32))
  readonly admin: MemberKey = memberKey(random(32))
  readonly id: MeshId = meshIdOf(this.root.publicKey)
  readonly url: string
  readonly clock: Clock
  readonly adminCert: string
  policy: string
  /** What the next policy allows. */
  allow: Allow = sealed

  constructor(url: string, clock: Clock) {
    this.url = url
    this.clock = clock
    const iat = clock.now()
    this.adminCert = issueMember({ mesh: this.id, subject: this.admin, issuer: this.root, role: 'admin', name: 'Founder', iat })
    this.policy = this.makePolicy(1)
  }

  makePolicy(v: number, revoked: Parameters<typeof issuePolicy>[0]['revoked'] = nobody, prev = v === 1 ? undefined : this.policy): string {
    return issuePolicy({ mesh: this.id, issuer: this.root, v, prev, iat: this.clock.now(), revoked, allow: this.allow, brokers: [this.url] })
  }

  createFrame(nonce: string): Frame {
    const transcript = { aud: this.url, clientNonce: b64u(16), timestamp: this.clock.now() }
    return {
      type: 'create_mesh',
      id: 'create',
      v: 1,
      root: this.root.publicKey,
      slug: 'test',
      chain: [this.adminCert],
      policy: this.policy,
      ...transcript,
      proof: signCreate({ mesh: this.id, root: this.root, nonce, ...transcript }),
    }
  }

  async create(): Promise<this> {
    const { wire, nonce } = await dial(this.url)
    const answer = await wire.ask(this.createFrame(nonce))
    if (answer.type !== 'mesh_created') throw new Error(JSON.stringify(answer))
    await wire[Symbol.asyncDispose]()
    return this
  }

  invite(options: { max?: number; iat?: number; exp?: number } = {}): { seed: Uint8Array; key: ReturnType<typeof inviteKey>; chain: string[] } {
    const seed = random(16)
    const key = inviteKey(this.root.publicKey, seed)
    const iat = options.iat ?? this.clock.now()
    const token = issueInvite({
      mesh: this.id,
      invite: key.publicKey,
      issuer: this.admin,
      role: 'member',
      max: options.max ?? 1,
      iat,
      exp: options.exp ?? iat + 3_600_000,
      by: this.admin.publicKey,
    })
    return { seed, key, chain: [this.adminCert, token] }
  }

  memberOf(invite: ReturnType<TestMesh['invite']>, name = 'Anna', key: MemberKey = memberKey(random(32)), iat = this.clock.now()) {
    const cert = issueMember({ mesh: this.id, subject: key, issuer: invite.key, role: 'member', name, iat, via: invite.key.publicKey })
    return { key, chain: [...invite.chain, cert] }
  }

  enrolFrame(nonce: string, member: { key: MemberKey; chain: string[] }): Frame {
    const transcript = { aud: this.url, clientNonce: b64u(16), timestamp: this.clock.now() }
    const proof = signEnrol({ mesh: this.id, member: member.key, nonce, ...transcript })
    return { type: 'enrol', id: 'enrol', v: 1, meshId: this.id, chain: member.chain, ...transcript, proof }
  }

  /** A member through an invite of its own, enrolled at the broker. */
  async enrolled(name = 'Anna'): Promise<{ key: MemberKey; chain: string[] }> {
    const member = this.memberOf(this.invite(), name)
    const { wire, nonce } = await dial(this.url)
    const answer = await wire.ask(this.enrolFrame(nonce, member))
    if (answer.type !== 'enrolled') throw new Error(JSON.stringify(answer))
    await wire[Symbol.asyncDispose]()
    return member
  }

  get founder(): { key: MemberKey; chain: string[] } {
    return { key: this.admin, chain: [this.adminCert] }
  }

  /** A connected peer; of the founder unless a member is given. */
  async peer(name: string, options: Partial<PeerOptions> = {}): Promise<Peer> {
    const peer = new Peer(this, { name, ...options })
    await peer.connect()
    return peer
  }
}

export interface PeerOptions {
  name: string
  groups: { name: string; role?: string }[]
  member: { key: MemberKey; chain: string[] }
  session: SessionKey
  life: number
  mail: boolean
  inOrder: boolean
}

/** One session of a mesh, down to its keys and its socket. */
export class Peer implements AsyncDisposable {
  readonly mesh: TestMesh
  readonly name: string
  readonly member: { key: MemberKey; chain: string[] }
  readonly session: SessionKey
  readonly keys: PairKeys
  readonly counters = new SendCounters()
  readonly chain: string[]
  groups: { name: string; role?: string }[]
  seq = 0
  /** Whether it shows mail for its member. */
  readonly mail: boolean
  /** Whether it sends again in order what is put off. */
  readonly inOrder: boolean
  #wire: Wire | undefined

  constructor(mesh: TestMesh, options: Partial<PeerOptions> & { name: string }) {
    this.mesh = mesh
    this.name = options.name
    this.groups = options.groups ?? []
    this.mail = options.mail ?? false
    this.inOrder = options.inOrder ?? false
    this.member = options.member ?? mesh.founder
    this.session = options.session ?? sessionKey(random(32))
    this.keys = new PairKeys(this.session)
    const iat = mesh.clock.now()
    const exp = iat + (options.life ?? 24 * 3_600_000)
    this.chain = [...this.member.chain, issueSession({ mesh: mesh.id, session: this.session, member: this.member.key, iat, exp })]
  }

  get key(): SessionPubkey {
    return this.session.publicKey
  }

  get wire(): Wire {
    if (!this.#wire) throw new Error('not connected')
    return this.#wire
  }

  presence(changes: { name?: string; summary?: string } = {}): string {
    const { name, groups, mesh, session } = this
    return issuePresence({ mesh: mesh.id, session, seq: ++this.seq, ts: mesh.clock.now(), name, groups, ...changes })
  }

  helloFrame(nonce: string, changes: Record<string, unknown> = {}): Frame {
    const { mesh, member, session } = this
    const transcript = {
      aud: (changes['aud'] as string | undefined) ?? mesh.url,
      clientNonce: b64u(16),
      timestamp: (changes['timestamp'] as number | undefined) ?? mesh.clock.now(),
    }
    return {
      type: 'hello',
      id: 'hello',
      v: 1,
      meshId: mesh.id,
      memberId: memberIdOf(mesh.id, member.key.publicKey),
      pubkey: member.key.publicKey,
      sessionPubkey: session.publicKey,
      sessionId: 's1',
      displayName: this.name,
      groups: this.groups,
      ...transcript,
      chain: this.chain,
      presence: this.presence(),
      ...(this.mail ? { mail: true } : {}),
      ...(this.inOrder ? { inOrder: true } : {}),
      ...signHello({ mesh: mesh.id, member: member.key, session, nonce, ...transcript }),
      ...changes,
    }
  }

  /** Connects to the mesh's broker, or to another address of it. */
  async connect(url = this.mesh.url): Promise<Frame> {
    const { wire, nonce } = await dial(url)
    this.#wire = wire
    const answer = await wire.ask(this.helloFrame(nonce))
    if (answer.type !== 'hello_ack') throw new Error(JSON.stringify(answer))
    return answer
  }

  /** A sealed `send` frame to these sessions. */
  sendFrame(
    to: RecipientPubkey[],
    text: string,
    options: { members?: number; targetSpec?: string | string[]; id?: ClientId; priority?: 'now' | 'next' | 'low'; volatile?: boolean; shared?: boolean } = {},
  ): Frame {
    const id = options.id ?? clientId()
    const priority = options.priority ?? 'next'
    const sealed = seal({
      keys: this.keys,
      counters: this.counters,
      mesh: this.mesh.id,
      sender: this.key,
      recipients: to,
      message: { to: 'somebody', id, ts: this.mesh.clock.now(), p: priority, b: text },
      random,
      ...(options.shared === undefined ? {} : { shared: options.shared }),
    })
    const { nonce, wraps, ciphertext } = sealed
    return {
      type: 'send',
      id,
      targetSpec: options.targetSpec ?? (to.length === 1 ? to[0] : to),
      priority,
      nonce,
      to: sealed.to,
      ...(options.members === undefined ? {} : { members: options.members }),
      ...(wraps === undefined ? {} : { wraps }),
      ...(options.volatile ? { volatile: true } : {}),
      ciphertext,
    }
  }

  async send(to: RecipientPubkey[], text: string, options: Parameters<Peer['sendFrame']>[2] = {}): Promise<Frame> {
    return this.wire.ask(this.sendFrame(to, text, options))
  }

  receive(...received: unknown[]): void {
    this.wire.send({ type: 'receipt', received, failed: [] })
  }

  surface(...surfaced: unknown[]): void {
    this.wire.send({ type: 'receipt', received: [], surfaced, failed: [] })
  }

  /** Ends the connection without a goodbye. */
  async drop(): Promise<void> {
    this.wire.ws.terminate()
    await this.wire.closed
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#wire?.[Symbol.asyncDispose]()
  }
}
