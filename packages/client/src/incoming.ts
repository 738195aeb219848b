import { PairKeys, ReplayWindows, fingerprint, messageIdOf, open, type Chain, type InnerMessage, type MemberKey } from '@claudemesh/crypto'
import {
  MeshError,
  contract,
  limits,
  type Attachment,
  type Body,
  type Clock,
  type ErrorCode,
  type Log,
  type MeshId,
  type MessageId,
  type SessionPubkey,
} from '@claudemesh/protocol'
import type { Emitter } from './emitter.ts'
import { Gaps } from './gaps.ts'
import type { Inbox } from './inbox.ts'
import type { AttachedFile } from './files/types.ts'
import { readProof, type Proof } from './proofs.ts'
import { Receipts } from './receipts.ts'
import type { Roster } from './roster.ts'
import type { MailSeen } from './ports.ts'
import type { MeshEvents, ReceivedMessage } from './types.ts'

type Push = Body<typeof contract.messages.push>

export interface IncomingOptions {
  readonly mesh: MeshId
  readonly me: SessionPubkey
  /** Another process used the session key before: earlier counters are not gaps. */
  readonly resumed: boolean
  /** What an earlier process of this session showed. */
  readonly shown: readonly MessageId[]
  readonly keys: PairKeys
  /** The member whose mail this session shows. */
  readonly member: MemberKey
  readonly mailSeen: MailSeen | undefined
  readonly clock: Clock
  readonly log: Log
  readonly roster: Roster
  readonly inbox: Inbox
  readonly receipts: Receipts
  readonly events: Emitter<MeshEvents>
  allowPlaintext(): boolean
  /** A verified message has files attached: they are remembered, and what its reader may know of them is given. */
  attached(attachments: readonly Attachment[]): AttachedFile[]
  /** A verified message came, perhaps naming one of ours. */
  arrived(message: ReceivedMessage, policyMark: InnerMessage['pv']): void
  /** A peer says, sealed, what became of messages of ours. */
  proven(proof: Proof, by: SessionPubkey, at: number): void
  /** There was no room for pushes, and now there is: those that the broker keeps are to come again. */
  missed(): void
}

/** Shown ids are what keeps a lying broker from replaying to the next process of this session. */
const remembered = { seen: 8192, shown: 50_000 } as const

/** Opens pushes in the order they came, and lets nothing through that does not verify. */
export class Incoming {
  readonly #o: IncomingOptions
  readonly #windows: ReplayWindows
  readonly #gaps: Gaps
  #mailKeys: PairKeys | undefined
  readonly #held: Push[] = []
  readonly #seen = new Set<MessageId>()
  readonly #shown: Set<MessageId>
  #ready = false
  #missed = false

  constructor(options: IncomingOptions) {
    this.#o = options
    this.#shown = new Set(options.shown)
    this.#windows = new ReplayWindows({ resumed: options.resumed })
    this.#gaps = new Gaps(options.clock, this.#windows, (session, missing) => options.events.emit('gap', { from: this.#nameOf(session), session, missing }))
  }

  /** Pushes before the roster is there would have no sender: they wait. */
  rosterReady(ready: boolean): void {
    this.#ready = ready
    this.pump()
  }

  /** Takes a push in; what does not fit stays with the broker, which is asked for it once there is room. */
  take(push: Push): void {
    if (this.#held.length >= limits.queuedPerSession * 2) {
      this.#missed = true
      return
    }
    this.#held.push(push)
    this.pump()
  }

  /** Opens what waits, as far as the inbox has room. */
  pump(): void {
    while (this.#ready && this.#o.inbox.size < limits.queuedPerSession) {
      const push = this.#held.shift()
      if (!push) {
        this.#recover()
        return
      }
      this.#receive(push)
    }
  }

  #recover(): void {
    if (!this.#missed) return
    this.#missed = false
    this.#o.log('info', 'pushes_missed')
    this.#o.missed()
  }

  stop(): void {
    this.#gaps.stop()
    this.#mailKeys?.wipe()
  }

  #receive(push: Push): void {
    if (this.#shown.has(push.messageId)) {
      this.#o.receipts.surfaced(push.messageId)
      return
    }
    if (this.#seen.has(push.messageId)) {
      this.#o.receipts.received(push.messageId)
      return
    }
    try {
      const { message, kind, policyMark } = this.#open(push)
      if (kind !== undefined) {
        this.#takeReceipt(kind, message)
        return
      }
      remember(this.#seen, push.messageId, remembered.seen)
      this.#o.receipts.received(message.id)
      if (!message.durable) this.#gaps.look(message.from.session)
      this.#o.inbox.add(message)
      this.#o.arrived(message, policyMark)
      this.#o.events.emit('message', message)
    } catch (error) {
      this.#refuse(push, error instanceof MeshError ? error.code : 'internal')
    }
  }

  /** The reader has seen it: it is not taken in again. */
  shown(id: MessageId): void {
    remember(this.#shown, id, remembered.shown)
    this.#o.receipts.surfaced(id)
  }

  #takeReceipt(kind: string, { id, from, text, receivedAt }: ReceivedMessage): void {
    if (kind !== 'receipt') throw new MeshError('bad_version', `this client knows no messages of kind ${kind}`)
    this.#o.proven(readProof(text), from.session, receivedAt)
    this.shown(id)
  }

  #open(push: Push): { message: ReceivedMessage; kind: string | undefined; policyMark: InnerMessage['pv'] } {
    const { mesh, me, keys, clock } = this.#o
    const now = clock.now()
    if (messageIdOf(push.senderPubkey, push.id) !== push.messageId) throw new MeshError('mismatched_envelope', 'the message id is not the sender’s')
    const sender = push.plain === undefined ? this.#senderOf(push) : {}
    const own = push.mail ? this.#asMember(push) : { keys, me, windows: this.#windows }
    const { inner, verified } = open(push, { ...own, mesh, sender, now, allow: { plaintext: this.#o.allowPlaintext() } })
    const { member } = sender
    const session = push.senderPubkey
    const message: ReceivedMessage = {
      id: push.messageId,
      from: {
        session,
        name: member ? this.#nameOf(session) : 'unverified',
        ...(member && { member: { id: member.id, name: member.name } }),
        fingerprint: fingerprint(session),
      },
      to: inner.to,
      priority: inner.p,
      text: inner.b,
      ...(inner.re === undefined ? {} : { re: inner.re }),
      hops: inner.hops ?? 0,
      ...(push.mail ? { durable: true as const } : {}),
      ...(inner.a ? { files: this.#o.attached(inner.a) } : {}),
      sentAt: inner.ts,
      receivedAt: now,
      verified,
    }
    return { message, kind: inner.k, policyMark: inner.pv }
  }

  /** Mail is opened with the member key, by one session after another: what was shown is known on disk, not in a window of counters. */
  #asMember({ messageId }: Push) {
    const { member, mailSeen } = this.#o
    if (!mailSeen) throw new MeshError('wrong_recipient', 'this session shows no mail')
    const accept = () => {
      if (mailSeen.has(messageId)) throw new MeshError('replayed', 'another session of this member has shown this mail')
    }
    return { keys: (this.#mailKeys ??= new PairKeys(member)), me: member.publicKey, windows: { accept } }
  }

  #senderOf(push: Push): Chain {
    const { roster } = this.#o
    if (push.chain && push.presence !== undefined) roster.introduce({ session: push.senderPubkey, tokens: push.chain, presence: push.presence })
    const believed = roster.believed(push.senderPubkey)
    if (!believed) throw new MeshError('unknown_sender')
    return believed.chain
  }

  #refuse(push: Push, reason: ErrorCode): void {
    this.#o.log('warn', 'message_refused', { reason, messageId: push.messageId })
    // Mail that was shown before is no failure to its sender, and no news to its reader: its receipt was lost, or the broker repeats itself.
    if (push.mail && reason === 'replayed') {
      this.#o.receipts.surfaced(push.messageId)
      return
    }
    this.#o.receipts.failed(push.messageId, reason)
    const from = fingerprint(push.senderPubkey)
    this.#o.events.emit('refused', {
      id: push.messageId,
      fingerprint: from,
      reason,
      notice: `[1 message from ${from} could not be verified and was not shown]`,
    })
  }

  #nameOf(session: SessionPubkey): string {
    return this.#o.roster.believed(session)?.presence.name ?? fingerprint(session)
  }
}

function remember(ids: Set<MessageId>, id: MessageId, most: number): void {
  ids.add(id)
  const [oldest] = ids
  if (ids.size > most && oldest !== undefined) ids.delete(oldest)
}
