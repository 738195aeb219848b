import { PairKeys, SendCounters, fingerprint, messageIdOf, seal, toB64u, type Random, type Sealed, type SessionKey } from '@claudemesh/crypto'
import {
  MeshError,
  contract,
  limits,
  times,
  type ClientId,
  type Clock,
  type Log,
  type MeshId,
  type MessageId,
  type Output,
  type SessionPubkey,
} from '@claudemesh/protocol'
import type { Connection } from './connection.ts'
import { resolve, type Resolution } from './resolve.ts'
import type { Roster } from './roster.ts'
import type { Me, MessageStatus, SendOptions, SendResult } from './types.ts'

type Ack = Output<typeof contract.messages.send>

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
  me(): Me
  policyMark(): [number, string] | undefined
}

/** When each recipient said so. */
type Heard = Readonly<Record<'shown' | 'held' | 'answered', Map<SessionPubkey, number>>>

const patience = 60_000
const remembered = 1000

/** Seals messages and brings them to the broker, once each, over reconnects. */
export class Outgoing {
  readonly #o: OutgoingOptions
  readonly #counters: SendCounters
  /** Who proved to have shown, and who answered, which of the last messages. */
  readonly #heard = new Map<MessageId, Heard>()
  readonly #proofs = new Set<MessageId>()

  constructor(options: OutgoingOptions) {
    this.#o = options
    this.#counters = new SendCounters(options.incarnation)
  }

  async send(options: SendOptions): Promise<SendResult> {
    const { state } = this.#o.connection
    if (state.phase === 'closed') throw state.reason
    const text = options.message.toWellFormed()
    const size = new TextEncoder().encode(text).length
    if (size > limits.message) throw new MeshError('too_large', `the message has ${size} bytes, ${limits.message} is the limit: send it in parts`)
    if (size === 0) throw new MeshError('bad_frame', 'the message is empty')
    const to = resolve(options.to, this.#o.roster, this.#o.me())
    if (to.recipients.length > limits.recipients) throw new MeshError('too_many_recipients')
    return this.#deliver(to, { ...options, message: text })
  }

  /** The state of a sent message, `answered` where a reply of this session's conversation names it. */
  async status(messageId: MessageId): Promise<MessageStatus> {
    const request = contract.messages.status
    const answer = (await this.#o.connection.ask(request, { messageId })) as Output<typeof request>
    const heard = this.#heard.get(messageId)
    return {
      id: messageId,
      storedAt: answer.storedAt,
      delivered: answer.delivered,
      ...(answer.deliveredAt === undefined ? {} : { deliveredAt: answer.deliveredAt }),
      recipients: answer.recipients.map(({ sessionPubkey, ...known }) => {
        const one = { session: sessionPubkey, name: this.nameOf(sessionPubkey), ...known }
        const answered = heard?.answered.get(sessionPubkey)
        if (answered !== undefined) return { ...one, rung: 'answered' as const, at: answered }
        const shown = heard?.shown.get(sessionPubkey)
        if (shown !== undefined) return { ...one, rung: 'surfaced' as const, at: shown, proven: true }
        if (one.rung === 'surfaced') return { ...one, proven: false }
        return one.rung === 'received' && heard?.held.has(sessionPubkey) ? { ...one, held: true } : one
      }),
    }
  }

  /** A verified message of that session names one of ours. */
  answered(re: string, by: SessionPubkey, at: number): void {
    this.#heard.get(re as MessageId)?.answered.set(by, at)
  }

  /** A sealed receipt of that session names these messages; the ones that are ours and were not named before. */
  proven(word: 'shown' | 'held', ids: readonly MessageId[], by: SessionPubkey, at: number): MessageId[] {
    return ids.filter((id) => {
      const known = this.#heard.get(id)?.[word]
      if (!known || known.has(by)) return false
      known.set(by, at)
      return true
    })
  }

  /** Tells a sender, sealed, what was shown here. */
  async prove(to: SessionPubkey, text: string): Promise<void> {
    const target = { peers: [], recipients: [to], targetSpec: to, label: '', direct: true, matches: () => false }
    await this.#deliver(target, { to: '', message: text, priority: 'low' }, 'receipt')
  }

  /** Whether this is the id of a receipt, in whose fate nobody is interested. */
  isProof(id: MessageId): boolean {
    return this.#proofs.has(id)
  }

  nameOf(session: SessionPubkey): string {
    return this.#o.roster.believed(session)?.presence.name ?? fingerprint(session)
  }

  async #deliver(to: Resolution, options: SendOptions, kind?: 'receipt'): Promise<SendResult> {
    const id = toB64u(this.#o.random(16)) as ClientId
    const priority = options.priority ?? 'next'
    const mark = this.#o.policyMark()
    const sealed = seal({
      keys: this.#o.keys,
      counters: this.#counters,
      mesh: this.#o.mesh,
      sender: this.#o.key.publicKey,
      recipients: [...to.recipients],
      message: {
        to: to.label,
        id,
        ts: this.#o.clock.now(),
        p: priority,
        b: options.message,
        ...(options.re === undefined ? {} : { re: options.re }),
        ...(options.hops === undefined || options.hops === 0 ? {} : { hops: options.hops }),
        ...(kind === undefined ? {} : { k: kind }),
        ...(mark === undefined ? {} : { pv: mark }),
      },
      random: this.#o.random,
      shared: !to.direct,
    })
    const cancelWipe = this.#o.clock.after(times.contentKey, () => sealed.wipe())
    const messageId = messageIdOf(this.#o.key.publicKey, id)
    if (kind === undefined) this.#remember(messageId)
    else keepNewest(this.#proofs.add(messageId))
    try {
      const { nonce, to: keys, wraps, ciphertext } = sealed
      const volatile = options.volatile === true
      // The ciphertext last: brokers pass it on without parsing it.
      const frame = {
        targetSpec: to.targetSpec,
        priority,
        nonce,
        to: keys,
        ...(wraps === undefined ? {} : { wraps }),
        ...(volatile ? { volatile } : {}),
        ciphertext,
      }
      const ack = (await this.#o.connection.ask(contract.messages.send, frame, { id, keep: !volatile, timeoutMs: patience })) as Ack
      if (ack.messageId !== messageId) throw new MeshError('internal', 'the broker acknowledged another message')
      const more = await this.#topUp(sealed, to, messageId, ack)
      return this.#result(messageId, to, ack, more)
    } finally {
      cancelWipe()
      sealed.wipe()
    }
  }

  /** Adds the sessions that joined the target while the message was on its way, if their own tokens say that they belong to it. */
  async #topUp(sealed: Sealed, to: Resolution, messageId: MessageId, ack: Ack): Promise<{ ack: Ack; peers: SessionPubkey[] } | undefined> {
    if (to.direct || ack.missing.length === 0) return undefined
    const already = new Set(to.recipients)
    for (const frame of ack.missing) this.#o.roster.update(frame, ack.tokens)
    const peers = ack.missing
      .map((frame) => this.#o.roster.peer(frame.sessionPubkey))
      .filter((peer) => peer !== undefined)
      .filter((peer) => to.matches(peer) && !already.has(peer.session))
      .map((peer) => peer.session)
    if (peers.length === 0) return undefined
    try {
      const more = (await this.#o.connection.ask(contract.messages.sendMore, { messageId, ...sealed.topUp(peers) })) as Ack
      return { ack: more, peers }
    } catch (error) {
      this.#o.log('warn', 'top_up_failed', { error: error instanceof MeshError ? error.code : 'internal', recipients: peers.length })
      return undefined
    }
  }

  #result(id: MessageId, to: Resolution, ack: Ack, more: { ack: Ack; peers: SessionPubkey[] } | undefined): SendResult {
    const named = (session: SessionPubkey) => ({ session, name: to.peers.find((peer) => peer.session === session)?.name ?? this.nameOf(session) })
    return {
      id,
      recipients: [...to.recipients, ...(more?.peers ?? [])].map(named),
      queued: ack.queued + (more?.ack.queued ?? 0),
      ...(ack.volatile ? { volatile: true as const } : {}),
      gone: [...ack.gone, ...(more?.ack.gone ?? [])].map(named),
    }
  }

  #remember(id: MessageId): void {
    keepNewest(this.#heard.set(id, { shown: new Map(), held: new Map(), answered: new Map() }))
  }
}

function keepNewest(known: Map<MessageId, unknown> | Set<MessageId>): void {
  const [oldest] = known.keys()
  if (known.size > remembered && oldest !== undefined) known.delete(oldest)
}
