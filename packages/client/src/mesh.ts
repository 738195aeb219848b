import { PairKeys, ready, webRandom, type InnerMessage, type Policy } from '@claudemesh/crypto'
import { MeshError, contract, limits, parseGroup, silent, times, type Body, type Contract, type Log, type MessageId, type Status } from '@claudemesh/protocol'
import { amend, type Amendment } from './amend.ts'
import { OwnAttributes } from './attributes.ts'
import { callsOf, type Calls } from './calls.ts'
import type { ConnectionState } from './connection-state.ts'
import { Connection, type HelloAck } from './connection.ts'
import { Emitter } from './emitter.ts'
import { Memory } from './features/memory.ts'
import { Files } from './features/files.ts'
import { MeshKeys } from './features/keys.ts'
import { Records } from './features/records.ts'
import { State } from './features/state.ts'
import { Inbox } from './inbox.ts'
import { Incoming } from './incoming.ts'
import { Invites } from './invites.ts'
import type { Kernel } from './kernel.ts'
import { loadPeers } from './load-peers.ts'
import { listMembers, type Enrolment } from './members.ts'
import { Directory } from './directory.ts'
import { Outbox } from './outbox.ts'
import { Outgoing } from './outgoing.ts'
import { PolicyKeeper } from './policy.ts'
import { adoptPolicy, policyChanged, policyMarked } from './policy-watch.ts'
import { Proofs } from './proofs.ts'
import { Receipts } from './receipts.ts'
import { resolve } from './resolve.ts'
import { Roster } from './roster.ts'
import { rungsProven, rungsTold } from './rungs.ts'
import { Self } from './self.ts'
import { Takes } from './takes.ts'
import type { OutboxPort } from './ports.ts'
import type { ConnectOptions, Me, MeshEvents, MessageStatus, Peer, ReceivedMessage, Resolved, SendOptions, SendResult } from './types.ts'

const renewAfter = times.sessionLife * 0.75
/** How long an end waits for receipts under way. */
const lastWords = 250
const nobody = { members: [], invites: [], sessions: [] }

/** One session in one mesh: connected, and staying so until closed. */
export class Mesh implements AsyncDisposable {
  /** Every request of the contract, typed; most callers want the methods below. */
  readonly calls: Calls<Contract>
  /** Verified messages that nobody took yet. */
  readonly inbox: Inbox
  readonly invites: Invites
  /** What the mesh remembers. */
  readonly memory: Memory
  /** The mesh's keys, for what is stored. */
  readonly keys: MeshKeys
  /** Seals and verifies what is stored. */
  readonly records: Records
  /** Files: attached to messages, or shared with everybody. */
  readonly files: Files
  /** The key-value state that all members share. */
  readonly state: State
  readonly #o: ConnectOptions
  readonly #events: Emitter<MeshEvents>
  readonly #self: Self
  readonly #policy: PolicyKeeper
  readonly #roster: Roster
  readonly #pairs: PairKeys
  readonly #connection: Connection
  readonly #kernel: Kernel
  readonly #attributes: OwnAttributes
  readonly #receipts: Receipts
  readonly #directory: Directory
  readonly #outbox: Outbox | undefined
  readonly #outgoing: Outgoing
  readonly #proofs: Proofs
  readonly #incoming: Incoming
  #cancelRenewal: () => void = () => {}
  /** The broker may have given this session's mail to another one. */
  #strayed = false
  /** Whether the roster was ever loaded. */
  #usable = false
  #settled: { resolve: () => void; reject: (error: MeshError) => void } | undefined

  private constructor(o: ConnectOptions) {
    this.#o = o
    const { identity, clock } = o
    const { mesh, root } = identity
    const log = o.log ?? silent
    const random = o.random ?? webRandom
    const me = o.session.key.publicKey
    const keys = new PairKeys(o.session.key)
    this.#pairs = keys
    this.#events = new Emitter(log)
    this.#self = new Self(o, random)
    this.#policy = new PolicyKeeper(mesh, root, o.policyPin)
    this.#roster = new Roster({ mesh, root, me, clock, log })
    this.#connection = new Connection({
      url: o.url,
      dial: o.dial,
      clock,
      log,
      random,
      persist: o.persist ?? false,
      hello: (challenge) => this.#self.hello(challenge),
      accepted: (ack) => this.#accepted(ack),
      event: (type, body) => this.#kernel.takes.call(type, body),
      changed: (state) => this.#changed(state),
    })
    this.calls = callsOf(contract, (request, input) => this.#connection.ask(request, input))
    const keysOf = () => this.keys
    const recordsOf = () => this.records
    this.#kernel = {
      options: o,
      random,
      log,
      calls: this.calls,
      takes: new Takes(),
      self: this.#self,
      policy: this.#policy,
      roster: this.#roster,
      events: this.#events,
      get keys() {
        return keysOf()
      },
      get records() {
        return recordsOf()
      },
      amend: (change) => this.amend(change),
      takePolicy: (token) => adoptPolicy(this.#kernel, token),
      askPolicy: async () => adoptPolicy(this.#kernel, (await this.calls.session.getPolicy({})).policy),
    }
    this.#attributes = new OwnAttributes(this.#kernel, this.#connection)
    this.keys = new MeshKeys(this.#kernel)
    this.records = new Records(this.#kernel)
    this.state = new State(this.#kernel)
    this.invites = new Invites(this.#kernel)
    this.memory = new Memory(this.#kernel)
    this.files = new Files(this.#kernel)
    this.#receipts = new Receipts((body) => this.#connection.notify('receipt', body))
    this.inbox = new Inbox(
      () => this.#incoming.pump(),
      ({ id, durable }) => durable === true && this.#strayed && o.mailSeen?.has(id) === true,
    )
    this.#directory = new Directory({ mesh, root, clock, calls: this.calls, cache: o.memberCache, revoked: () => this.#policy.current?.revoked ?? nobody })
    this.#outbox = o.outbox && this.#makeOutbox(o.outbox, log)
    this.#outgoing = new Outgoing({
      mesh,
      key: o.session.key,
      incarnation: o.session.incarnation,
      keys,
      random,
      clock,
      log,
      connection: this.#connection,
      roster: this.#roster,
      directory: this.#directory,
      outbox: this.#outbox,
      me: () => this.me,
      policyMark: () => this.#policy.mark,
      admit: (attachments, to) => this.files.admit(attachments, to),
    })
    this.#proofs = new Proofs((to, text) => this.#outgoing.prove(to, text), log)
    this.#incoming = new Incoming({
      mesh,
      me,
      resumed: o.session.incarnation > 1,
      shown: o.shown ?? [],
      keys,
      member: identity.member,
      mailSeen: o.mailSeen,
      clock,
      log,
      roster: this.#roster,
      inbox: this.inbox,
      receipts: this.#receipts,
      events: this.#events,
      allowPlaintext: () => this.#policy.current?.allow.plaintext ?? false,
      attached: (attachments) => this.files.attached(attachments),
      arrived: (message, mark) => this.#arrived(message, mark),
      proven: (proof, by, at) => rungsProven({ outgoing: this.#outgoing, events: this.#events }, proof, by, at),
      // On a new connection the broker begins with its queue.
      missed: () => this.#connection.redial(),
    })
    this.#takeEvents()
  }

  /** Resolves when the broker accepted the session and the roster is usable; rejects with the MeshError that stands against it. */
  static async connect(options: ConnectOptions): Promise<Mesh> {
    await ready()
    const mesh = new Mesh(options)
    try {
      await new Promise<void>((resolve, reject) => {
        mesh.#settled = { resolve, reject }
        mesh.#connection.open()
      })
    } catch (error) {
      await mesh.close()
      throw error
    }
    return mesh
  }

  /** A session that stays unconnected: what it sends waits in the outbox, which the options must bring, for the next session of the member. */
  static async offline(options: ConnectOptions & { readonly outbox: OutboxPort }): Promise<Mesh> {
    await ready()
    return new Mesh(options)
  }

  get me(): Me {
    return this.#self.me
  }

  get connection(): ConnectionState {
    return this.#connection.state
  }

  /** The signed policy in force. */
  get policy(): (Policy & { readonly token: string }) | undefined {
    const { token, current } = this.#policy
    return token === undefined || !current ? undefined : { ...current, token }
  }

  /** Everybody who ever became a member, also while offline. */
  members(): Promise<Enrolment[]> {
    const { identity, clock } = this.#o
    const { revoked = nobody } = this.#policy.current ?? {}
    return listMembers(this.calls, { mesh: identity.mesh, root: identity.root, now: clock.now(), revoked })
  }

  /** Calls the handler at each event until the returned function is called. */
  on<K extends keyof MeshEvents>(event: K, handler: (body: MeshEvents[K]) => void): () => void {
    return this.#events.on(event, handler)
  }

  /** The verified peers, by name; this session is not among them. Throws `bad_name` for an impossible group. */
  peers(filter: { group?: string } = {}): Peer[] {
    const group = filter.group === undefined ? undefined : parseGroup(filter.group)
    return this.#roster.peers(group === undefined || group === 'all' ? {} : { group })
  }

  /** Throws `unknown_target` with the nearest names, `ambiguous_name`, `no_recipients` or `bad_name`. */
  resolve(to: string | readonly string[]): Resolved {
    return resolve(to, this.#roster, this.me)
  }

  /** Resolves once the broker has the message: for a stored one after its commit. Survives reconnects in between; with an outbox, a broker that is away for longer than a moment gets it later. */
  async send(options: SendOptions): Promise<SendResult> {
    const { files = [], progress, ...rest } = options
    if (files.length === 0) return this.#outgoing.send(rest)
    if (files.length > limits.filesPerMessage) throw new MeshError('too_large', `${files.length} files are attached, ${limits.filesPerMessage} is the limit`)
    if (this.connection.phase === 'idle') throw new MeshError('unavailable', 'files do not wait on this machine: send them when the broker is back')
    // What cannot be sent need not be uploaded.
    const { mail } = await this.#outgoing.check(rest)
    const attachments = await this.files.upload(files, { mail, progress })
    try {
      return await this.#outgoing.send({ ...rest, attachments })
    } catch (error) {
      // Any other error leaves open whether the message is on its way.
      if (error instanceof MeshError && error.retry === 'never') await this.files.discard(attachments)
      throw error
    }
  }

  /** What is known of a message that this member sent. Throws `not_found`. */
  status(id: MessageId): Promise<MessageStatus> {
    return this.#outgoing.status(id)
  }

  /** The reader has seen these messages: they leave the inbox and the broker's queue, and their senders get sealed proof of it. */
  surfaced(messages: readonly ReceivedMessage[]): void {
    if (messages.length === 0) return
    const ids = messages.map((message) => message.id)
    this.inbox.remove(ids)
    for (const { id, from, verified } of messages) {
      this.#incoming.shown(id)
      if (verified) this.#proofs.add(from.session, 'surfaced', id)
    }
    this.#rememberMail(messages)
    this.#events.emit('surfaced', ids)
  }

  #rememberMail(messages: readonly ReceivedMessage[]): void {
    const ids = messages.filter((message) => message.durable).map((message) => message.id)
    try {
      if (ids.length > 0) this.#o.mailSeen?.add(ids)
    } catch (error) {
      // It was shown; that a lying broker could have it shown again is the lesser evil.
      this.#o.log?.('error', 'mail_not_remembered', { messages: ids.length, cause: error instanceof Error ? error.name : 'unknown' })
    }
  }

  /** These messages wait for long, by do-not-disturb, a budget or a hook of its user: their senders are told, sealed. Tell each once. */
  held(messages: readonly ReceivedMessage[]): void {
    for (const { id, from, verified } of messages) if (verified) this.#proofs.add(from.session, 'held', id)
  }

  /** Throws `bad_name` when it is too long or contains invisible characters. */
  setSummary(summary: string): Promise<void> {
    return this.#attributes.setSummary(summary)
  }

  /** Sets the status at once; the broker hears of it now, or after the reconnect. */
  setStatus(status: Status): Promise<void> {
    return this.#attributes.setStatus(status)
  }

  /** Joins a group, or changes the role in it. */
  async joinGroup(name: string, role?: string): Promise<void> {
    return this.#attributes.joinGroup(name, role)
  }

  async leaveGroup(name: string): Promise<void> {
    return this.#attributes.leaveGroup(name)
  }

  /** Changes the signed policy, for instance to remove a member, which also begins a new epoch. Throws `bad_policy` unless this member is an admin. */
  amend(change: Amendment): Promise<void> {
    return amend(this.#kernel, change)
  }

  /** Ends the session. With `bye` its key counts as destroyed: what is queued for it fails at once. */
  async close({ bye = false }: { bye?: boolean } = {}): Promise<void> {
    this.#receipts.flush()
    if (this.#connection.state.phase === 'ready') await this.#lastProofs()
    if (bye) this.#connection.notify('bye', {})
    await this.#connection.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  /** Settles when the outbox was brought to the broker as far as that is possible now. */
  async flushed(): Promise<void> {
    if (this.#connection.state.phase === 'ready') await this.#outbox?.flush()
  }

  #makeOutbox(port: OutboxPort, log: Log): Outbox {
    return new Outbox({
      port,
      session: this.#o.session.key.publicKey,
      clock: this.#o.clock,
      log,
      connection: this.#connection,
      self: this.#self,
      events: this.#events,
      reached: (id, ack) => this.#outgoing.reached(id, ack),
      cleared: () => this.#proofs.resume(),
    })
  }

  async #lastProofs(): Promise<void> {
    const offs: (() => void)[] = []
    const moot = new Promise<void>((resolve) =>
      offs.push(
        this.#o.clock.after(lastWords, resolve),
        this.on('connection', () => resolve()),
      ),
    )
    await Promise.race([this.#proofs.settled(), moot])
    for (const off of offs) off()
  }

  #accepted(ack: HelloAck): void {
    adoptPolicy(this.#kernel, ack.policy)
    this.#roster.revoke(this.#policy.current?.revoked ?? nobody)
  }

  #changed(state: ConnectionState): void {
    if (state.phase === 'ready') {
      this.#cancelRenewal = this.#o.clock.after(renewAfter, () => this.#connection.redial())
      void this.#load(state)
    } else {
      this.#cancelRenewal()
      this.#strayed = true
      this.#incoming.rosterReady(false)
      this.#outbox?.connected(false)
    }
    if (state.phase === 'closed') this.#stop(state.reason)
    this.#events.emit('connection', state)
  }

  async #load(state: ConnectionState): Promise<void> {
    // A connection that came after loads by itself.
    const isOver = () => this.#connection.state !== state
    try {
      this.#roster.loading()
      await loadPeers(this.calls, this.#roster)
      if (isOver()) return
      this.#roster.loaded()
      this.#usable = true
      this.inbox.peek()
      this.#strayed = false
      this.#incoming.rosterReady(true)
      this.#outbox?.connected(true)
      this.#proofs.resume()
      this.#settled?.resolve()
      // Not worth its price to a session that lives for one command.
      if (this.#o.persist) void this.#directory.refresh().catch(() => {})
      await this.#attributes.repeatStatus()
    } catch (error) {
      if (isOver()) return
      const cause = error instanceof MeshError ? error : new MeshError('internal', undefined, { cause: error })
      this.#o.log?.('warn', 'roster_failed', { error: cause.code })
      if (this.#usable || this.#o.persist) this.#connection.failed(cause)
      else void this.#connection.close(cause)
    }
  }

  #takeEvents(): void {
    const { takes } = this.#kernel
    takes.put(contract.messages.push, (push) => this.#incoming.take(push))
    takes.put(contract.messages.delivery, (body) => rungsTold({ outgoing: this.#outgoing, events: this.#events }, body))
    takes.put(contract.peers.updated, (body) => this.#peerUpdated(body))
    takes.put(contract.peers.gone, (body) => this.#peerGone(body))
    takes.put(contract.session.policyChanged, ({ policy }) => policyChanged(this.#kernel, policy))
  }

  #peerUpdated({ peer, tokens }: Body<typeof contract.peers.updated>): void {
    this.#roster.update(peer, tokens)
    this.#events.emit('peer', { session: peer.sessionPubkey, change: 'updated' })
  }

  #peerGone({ sessionPubkey, reason }: Body<typeof contract.peers.gone>): void {
    this.#roster.remove(sessionPubkey)
    this.#pairs.forget(sessionPubkey)
    this.#events.emit('peer', { session: sessionPubkey, change: reason })
  }

  #arrived(message: ReceivedMessage, mark: InnerMessage['pv']): void {
    if (message.re !== undefined) this.#outgoing.answered(message.re, message.from.session, message.receivedAt)
    void policyMarked(this.#kernel, mark)
  }

  #stop(reason: MeshError): void {
    this.#incoming.stop()
    this.#outbox?.stop()
    this.#roster.stop()
    this.#pairs.wipe()
    this.keys.wipe()
    this.#settled?.reject(reason)
  }
}
