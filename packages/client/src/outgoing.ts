import { PairKeys, SendCounters, messageIdOf, seal, toB64u, fingerprint, type Random, type Sealed, type SessionKey } from '@claudemesh/crypto'
import {
  MeshError,
  contract,
  limits,
  times,
  type Attachment,
  type ClientId,
  type Clock,
  type Log,
  type MemberPubkey,
  type MeshId,
  type MessageId,
  type Output,
  type RecipientPubkey,
  type SessionPubkey,
} from '@claudemesh/protocol'
import type { Connection } from './connection.ts'
import { Heard, keepNewest, type Word } from './heard.ts'
import type { Directory } from './directory.ts'
import type { Outbox } from './outbox.ts'
import { resolve, type Resolution } from './resolve.ts'
import type { Roster } from './roster.ts'
import type { Me, MessageStatus, SendOptions, SendResult } from './types.ts'

type Ack = Output<typeof contract.messages.send>
type More = { readonly ack: Ack; readonly peers: readonly SessionPubkey[] }

export interface OutgoingOptions {
  readonly mesh: MeshId
  readonly key: SessionKey
  readonly incarnation: number
  readonly keys: PairKeys
  readonly random: Random
  readonly clock: Clock
  readonly log: Log
  readonly connection: Connection
  readonly roster: Roster
  readonly directory: Directory
  /** Absent where nothing is kept on disk: then a send waits in memory for the broker. */
  readonly outbox: Outbox | undefined
  me(): Me
  policyMark(): [number, string] | undefined
  /** Lets these recipients download what is attached. */
  admit(attachments: readonly Attachment[], to: Pick<Resolution, 'recipients' | 'members' | 'targetSpec'> | { recipients: SessionPubkey[] }): Promise<void>
}

/** A message whose files are with the broker. */
export type Sending = Omit<SendOptions, 'files' | 'progress'> & { readonly attachments?: readonly Attachment[] }

const patience = 60_000

/** An envelope that can still be wrapped for more recipients. */
interface Open {
  readonly id: MessageId
  readonly to: Resolution
  readonly sealed: Sealed
  readonly attachments: readonly Attachment[]
}

/** Seals messages and brings them to the broker, once each, over reconnects. */
export class Outgoing {
  readonly #o: OutgoingOptions
  readonly #counters: SendCounters
  readonly #heard = new Heard()
  readonly #proofs = new Set<MessageId>()
  /** Those in the outbox whose content key is not wiped yet. */
  readonly #open = new Map<MessageId, Open>()

  constructor(options: OutgoingOptions) {
    this.#o = options
    this.#counters = new SendCounters(options.incarnation)
  }

  async send(options: Sending): Promise<SendResult> {
    const message = this.#check(options)
    const { outbox } = this.#o
    const goesOut = !outbox || outbox.clear || (await outbox.cleared())
    if (options.volatile && !goesOut) throw new MeshError('unavailable', 'a volatile message waits for nobody, and the broker is away')
    const to = this.#resolve(options) ?? (await this.#resolveAbsent(options))
    return this.#deliver(fitting(to), { ...options, message }, goesOut ? 'message' : 'kept')
  }

  /** Whether it would be mail for somebody; throws what already stands against sending it. */
  async check(options: Sending): Promise<{ mail: boolean }> {
    this.#check(options)
    const to = fitting(this.#resolve(options) ?? (await this.#resolveAbsent(options)))
    return { mail: to.members.length > 0 }
  }

  /** The text as it is sent. */
  #check(options: Sending): string {
    const { state } = this.#o.connection
    if (state.phase === 'closed') throw state.reason
    const text = options.message.toWellFormed()
    const size = new TextEncoder().encode(text).length
    if (size > limits.message) throw new MeshError('too_large', `the message has ${size} bytes, ${limits.message} is the limit: send it in parts`)
    if (size === 0) throw new MeshError('bad_frame', 'the message is empty')
    if (options.durable && options.volatile) throw new MeshError('not_durable', 'a volatile message is kept nowhere: leave durable or volatile out')
    return text
  }

  /** The state of a sent message, `answered` where a reply of this session's conversation names it. */
  async status(messageId: MessageId): Promise<MessageStatus> {
    const kept = this.#o.outbox?.find(messageId)
    if (kept && kept.sentAt === undefined) return { id: messageId, delivered: false, outbox: kept, recipients: [] }
    const request = contract.messages.status
    const answer = (await this.#o.connection.ask(request, { messageId })) as Output<typeof request>
    if (answer.recipients.some((one) => one.mail && !this.#o.directory.byKey(one.sessionPubkey))) await this.#o.directory.list()
    return {
      id: messageId,
      storedAt: answer.storedAt,
      delivered: answer.delivered,
      ...(answer.deliveredAt === undefined ? {} : { deliveredAt: answer.deliveredAt }),
      ...(kept === undefined ? {} : { outbox: kept }),
      recipients: answer.recipients.map(({ sessionPubkey, mail, ...known }) =>
        this.#heard.raise(messageId, { session: sessionPubkey, name: this.nameOf(sessionPubkey), ...(mail ? { mail } : {}), ...known }),
      ),
    }
  }

  /** A verified message of that session names one of ours. */
  answered(re: string, by: SessionPubkey, at: number): void {
    const recipient = this.#speaker(re as MessageId, by)
    if (recipient) this.#heard.take('answered', re as MessageId, recipient, at)
  }

  /** A sealed receipt of that session names these messages; those that are ours and were not named before, with the recipient it speaks for. */
  proven(word: Word, ids: readonly MessageId[], by: SessionPubkey, at: number): { id: MessageId; recipient: RecipientPubkey }[] {
    return ids.flatMap((id) => {
      const recipient = this.#speaker(id, by)
      return recipient && this.#heard.take(word, id, recipient, at) ? { id, recipient } : []
    })
  }

  /** Tells a sender, sealed, what was shown here. */
  async prove(to: SessionPubkey, text: string): Promise<void> {
    const { outbox } = this.#o
    // What an earlier process of this session left must go first: its numbers are lower.
    if (outbox && !outbox.clear && !(await outbox.cleared())) throw new MeshError('unavailable')
    const target = { peers: [], recipients: [to], members: [], targetSpec: to, label: '', direct: true, matches: () => false }
    await this.#deliver(target, { to: '', message: text, priority: 'low' }, 'receipt')
  }

  /** Whether this is the id of a receipt, in whose fate nobody is interested. */
  isProof(id: MessageId): boolean {
    return this.#proofs.has(id)
  }

  /** What left the outbox may lack recipients that came since. */
  async reached(id: MessageId, ack: Ack): Promise<void> {
    const open = this.#open.get(id)
    this.#open.delete(id)
    if (!open) return
    await this.#topUp(open, ack)
    open.sealed.wipe()
  }

  nameOf(key: RecipientPubkey): string {
    return this.#o.roster.believed(key as SessionPubkey)?.presence.name ?? this.#o.directory.byKey(key)?.name ?? fingerprint(key)
  }

  #speaker(id: MessageId, session: SessionPubkey): RecipientPubkey | undefined {
    return this.#heard.recipient(id, session, this.#o.roster.believed(session)?.chain.member.key)
  }

  /** Undefined when nobody online answers to a name. */
  #resolve({ to, durable = false }: SendOptions): Resolution | undefined {
    try {
      return resolve(to, this.#o.roster, this.#o.me(), { members: [], durable })
    } catch (error) {
      if (error instanceof MeshError && error.code === 'unknown_target') return undefined
      throw error
    }
  }

  async #resolveAbsent({ to, durable = false }: SendOptions): Promise<Resolution> {
    const { connection, directory, roster } = this.#o
    const members = connection.state.phase === 'ready' ? await directory.list().catch(() => directory.known) : directory.known
    return resolve(to, roster, this.#o.me(), { members, durable })
  }

  #seal(to: Resolution, options: Sending, id: ClientId, kind: 'receipt' | undefined): Sealed {
    const mark = this.#o.policyMark()
    const { attachments = [] } = options
    return seal({
      keys: this.#o.keys,
      counters: this.#counters,
      mesh: this.#o.mesh,
      sender: this.#o.key.publicKey,
      recipients: [...to.recipients, ...to.members.map((member) => member.key)],
      message: {
        to: to.label,
        id,
        ts: this.#o.clock.now(),
        p: options.priority ?? 'next',
        b: options.message,
        ...(options.re === undefined ? {} : { re: options.re }),
        ...(options.hops === undefined || options.hops === 0 ? {} : { hops: options.hops }),
        ...(kind === undefined ? {} : { k: kind }),
        ...(attachments.length === 0 ? {} : { a: attachments }),
        ...(mark === undefined ? {} : { pv: mark }),
      },
      random: this.#o.random,
      shared: !to.direct || to.members.length > 0,
    })
  }

  async #deliver(to: Resolution, options: Sending, way: 'message' | 'receipt' | 'kept'): Promise<SendResult> {
    const { key, clock, connection, outbox } = this.#o
    const id = toB64u(this.#o.random(16)) as ClientId
    const messageId = messageIdOf(key.publicKey, id)
    const { attachments = [] } = options
    if (attachments.length > 0) await this.#o.admit(attachments, to)
    const sealed = this.#seal(to, options, id, way === 'receipt' ? way : undefined)
    const open = { id: messageId, to, sealed, attachments }
    if (way === 'receipt') keepNewest(this.#proofs.add(messageId))
    else this.#heard.sent(messageId, new Set<MemberPubkey>(to.members.map((member) => member.key)))
    const volatile = options.volatile === true
    const frame = frameOf(to, sealed, options)
    // What came to disk meanwhile goes first.
    if (way === 'kept' || (way === 'message' && !volatile && outbox?.clear === false)) return this.#keep(open, id, frame)
    const cancelWipe = clock.after(times.contentKey, () => sealed.wipe())
    try {
      const asking = connection.ask(contract.messages.send, frame, { id, keep: !volatile, timeoutMs: patience }) as Promise<Ack>
      const ack = await (way === 'message' && !volatile && outbox ? outbox.orAway(asking) : asking)
      if (ack === 'away') {
        connection.requests.abandon(id)
        return this.#keep(open, id, frame)
      }
      if (ack.messageId !== messageId) throw new MeshError('internal', 'the broker acknowledged another message')
      const more = await this.#topUp(open, ack)
      return this.#result(messageId, to, ack, more)
    } finally {
      cancelWipe()
      if (!this.#open.has(messageId)) sealed.wipe()
    }
  }

  /** On disk before this returns. The content key stays in memory, and no longer than for any other message. */
  #keep(open: Open, clientId: ClientId, frame: Frame): SendResult {
    const { outbox, clock } = this.#o
    const names = [...open.to.peers.map((peer) => peer.name), ...open.to.members.map((member) => member.name)]
    try {
      outbox?.keep({ id: open.id, to: names, frame: { id: clientId, ...frame } })
    } catch (error) {
      open.sealed.wipe()
      throw error
    }
    this.#open.set(open.id, open)
    clock.after(times.contentKey, () => {
      this.#open.delete(open.id)
      open.sealed.wipe()
    })
    return { ...this.#result(open.id, open.to, { queued: 0, gone: [] }, undefined), outbox: true }
  }

  /** Adds the sessions that joined the target while the message was on its way, if their own tokens say that they belong to it. */
  async #topUp({ id: messageId, to, sealed, attachments }: Open, ack: Ack): Promise<More | undefined> {
    if (to.direct || ack.missing.length === 0) return undefined
    // The message is stored already: whatever comes of this says nothing against it.
    try {
      const peers = this.#cameMeanwhile(to, ack)
      if (peers.length === 0) return undefined
      if (attachments.length > 0) await this.#o.admit(attachments, { recipients: peers })
      const more = (await this.#o.connection.ask(contract.messages.sendMore, { messageId, ...sealed.topUp(peers) })) as Ack
      return { ack: more, peers }
    } catch (error) {
      this.#o.log('warn', 'top_up_failed', { error: error instanceof MeshError ? error.code : 'internal', recipients: ack.missing.length })
      return undefined
    }
  }

  #cameMeanwhile(to: Resolution, { missing, tokens }: Ack): SessionPubkey[] {
    const already = new Set(to.recipients)
    for (const frame of missing) this.#o.roster.update(frame, tokens)
    return missing
      .map((frame) => this.#o.roster.peer(frame.sessionPubkey))
      .filter((peer) => peer !== undefined)
      .filter((peer) => to.matches(peer) && !already.has(peer.session))
      .map((peer) => peer.session)
  }

  #result(id: MessageId, to: Resolution, ack: Pick<Ack, 'queued' | 'gone' | 'volatile'>, more: More | undefined): SendResult {
    const named = <K extends RecipientPubkey>(session: K) => ({
      session,
      name: to.peers.find((peer) => peer.session === session)?.name ?? this.nameOf(session),
    })
    return {
      id,
      recipients: [...to.recipients, ...(more?.peers ?? [])].map(named),
      mail: to.members.map(({ key, name }) => ({ member: key, name })),
      queued: ack.queued + (more?.ack.queued ?? 0),
      ...(ack.volatile ? { volatile: true as const } : {}),
      gone: [...ack.gone, ...(more?.ack.gone ?? [])].map(named),
    }
  }
}

function fitting(to: Resolution): Resolution {
  if (to.recipients.length + to.members.length > limits.recipients) throw new MeshError('too_many_recipients')
  return to
}

type Frame = ReturnType<typeof frameOf>

/** The ciphertext last: brokers pass it on without parsing it. */
function frameOf({ targetSpec, members }: Resolution, { nonce, to, wraps, ciphertext }: Sealed, { priority = 'next', volatile }: Sending) {
  return {
    targetSpec,
    priority,
    nonce,
    to,
    ...(members.length === 0 ? {} : { members: members.length }),
    ...(wraps === undefined ? {} : { wraps }),
    ...(volatile ? { volatile } : {}),
    ciphertext,
  }
}
