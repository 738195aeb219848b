import { and, asc, eq, gt, inArray, or } from 'drizzle-orm'
import type { Log, MemberPubkey, MeshId, MessageId, SessionPubkey } from '@claudemesh/protocol'
import { claimMail } from './mail.ts'
import type { Mesh } from './mesh.ts'
import type { NodeId } from './parcels.ts'
import type { Outbox } from './outbox.ts'
import type { Database } from './ports.ts'
import { mailMark, pushHead, tailOf } from './push.ts'
import { RareSet } from './rare-set.ts'
import { delivery, inQueue, message, presence } from './tables.ts'
import type { Writer } from './writer.ts'
import { asked, type Watching } from './asked.ts'
import { causeOf } from './cause.ts'

const pageSize = 100
const holdAtMost = 256
// After the store failed.
const retryAfter = 1_000

const nothing = () => {}

type Row = Awaited<ReturnType<typeof queuePage>>[number]

interface Surroundings extends Watching {
  readonly db: Database
  readonly writer: Writer
  readonly log: Log
}

interface Held {
  readonly id: MessageId
  readonly head: string | Buffer
  readonly wrap: string | undefined
  readonly tail: Buffer
  readonly mail: boolean
}

/**
 * What one connection is pushed. It begins with the durable queue, in order, and turns live when the queue is read; when the peer reads too slowly, it leaves
 * stored messages to the queue and begins again once the socket has drained. A live push never overtakes an older one.
 */
export class Feed {
  readonly #env: Surroundings
  readonly #mesh: Mesh
  readonly #me: SessionPubkey
  readonly #outbox: Outbox
  /** The member whose mail this session shows. */
  readonly #member: MemberPubkey | undefined
  /** Pushed on this connection, and neither surfaced nor refused yet. */
  readonly #pushed = new RareSet<MessageId>()
  /** Left to the queue while it was being read; what no page shows was committed behind the cursor, by another writer. */
  readonly #skipped = new RareSet<MessageId>()
  /** Pushed while the queue was being read, and done with since: the queue may still show it. */
  readonly #done = new RareSet<MessageId>()
  /** Of what was pushed, what is for the member. */
  readonly #mail = new RareSet<MessageId>()
  #again = false
  #mode: 'behind' | 'reading' | 'holding' | 'live' | 'closed' = 'behind'
  #held: Held[] = []
  /** The nodes that are known to know where this session is. */
  readonly #met = new RareSet<NodeId>()
  /** The doubts of the mesh when the queue was last read for their sake. */
  #doubts: number
  #wake: (() => void) | undefined
  #cancelRetry = nothing

  constructor(env: Surroundings, mesh: Mesh, me: SessionPubkey, outbox: Outbox, member?: MemberPubkey) {
    this.#env = env
    this.#mesh = mesh
    this.#me = me
    this.#outbox = outbox
    this.#doubts = mesh.doubts
    this.#member = member
  }

  /** Pushes a stored message now, or leaves it to the queue. */
  push(id: MessageId, head: string | Buffer, wrap: string | undefined, tail: Buffer, mail = false): void {
    // What came before may be in the queue alone.
    if (this.#doubts !== this.#mesh.doubts) this.again()
    if (this.#mode === 'holding') {
      if (this.#held.length < holdAtMost) this.#held.push({ id, head, wrap, tail, mail })
      else {
        for (const held of this.#held) this.#skipped.add(held.id)
        this.#held = []
        this.#mode = 'reading'
        this.#skipped.add(id)
      }
      return
    }
    if (this.#mode === 'reading') this.#skipped.add(id)
    if (this.#mode !== 'live') return
    if (this.#outbox.full) {
      this.#mode = 'behind'
      this.#env.meter.count('drops', 'left_to_queue')
      this.#env.log('info', 'left_to_queue', { session: this.#me, waiting: this.#outbox.waiting })
      return
    }
    const before = this.#pushed.size
    this.#pushed.add(id)
    // Another node may hand over what the queue has shown already.
    if (this.#pushed.size === before) return
    if (mail) this.#mail.add(id)
    this.#outbox.write(head, wrap, tail)
  }

  /** Pushes what another node handed over. Until its first push that node may have sent what it had for this session to the last place it knew. */
  pushFrom(node: NodeId, id: MessageId, head: string | Buffer, wrap: string | undefined, tail: Buffer): void {
    if (!this.#met.has(node)) {
      this.#met.add(node)
      this.again()
    }
    this.push(id, head, wrap, tail)
  }

  /** Pushes a volatile message, or drops it when the peer reads too slowly. */
  pushVolatile(head: string | Buffer, wrap: string | undefined, tail: Buffer): boolean {
    if (this.#mode === 'closed' || this.#outbox.full) {
      this.#env.meter.count('drops', 'volatile_dropped')
      this.#env.log('debug', 'volatile_dropped', { session: this.#me })
      return false
    }
    this.#outbox.write(head, wrap, tail)
    return true
  }

  /** Reads the queue again from its beginning: pushes of other nodes may have been lost, or another session let go of mail. */
  again(): void {
    this.#doubts = this.#mesh.doubts
    if (this.#mode === 'live') this.#mode = 'behind'
    else this.#again = true
    this.catchUp()
  }

  /** Whether this message was pushed, or is about to be found in the queue. */
  has(id: MessageId): boolean {
    return this.#mode !== 'live' || this.#pushed.has(id)
  }

  /** Whether the queue is read to its end, and what was pushed of it. */
  get atRest(): { readonly live: boolean; readonly pushed: ReadonlySet<MessageId> } {
    return { live: this.#mode === 'live' && !this.#again, pushed: new Set(this.#pushed) }
  }

  /** The peer is done with this message. */
  taken(id: MessageId): void {
    this.#pushed.delete(id)
    this.#mail.delete(id)
    if (this.#mode === 'reading' || this.#mode === 'holding') this.#done.add(id)
  }

  /** This message was not stored after all, and may be sent again. */
  dropped(id: MessageId): void {
    this.#pushed.delete(id)
    this.#mail.delete(id)
    this.#held = this.#held.filter((held) => held.id !== id)
  }

  /** Whether what was pushed under this id is mail for the member. */
  isMail(id: MessageId): boolean {
    return this.#mail.has(id)
  }

  /** Reads the queue, unless that is under way; called at the beginning and whenever the socket has drained. */
  catchUp(): void {
    this.#wake?.()
    if (this.#mode !== 'behind') return
    this.#cancelRetry()
    this.#mode = 'reading'
    this.#read().catch((error: unknown) => {
      this.#env.log('error', 'backlog_failed', { session: this.#me, cause: causeOf(error) })
      if (this.#closed) return
      // What is held is in the queue, or was never stored.
      this.#held = []
      this.#mode = 'behind'
      this.#cancelRetry = this.#env.clock.after(retryAfter, () => this.catchUp())
    })
  }

  close(): void {
    this.#mode = 'closed'
    this.#cancelRetry()
    this.#held = []
    this.#wake?.()
  }

  async #read(): Promise<void> {
    let after = 0
    this.#done.clear()
    await this.#claim()
    for (;;) {
      await this.#env.writer.settled()
      const page = await asked(this.#env, 'queue', () => queuePage(this.#env.db, this.#mesh.id, { me: this.#me, member: this.#member }, after), {
        facts: { mesh: this.#mesh.id, session: this.#me },
      })
      if (this.#closed) return
      for (const row of page) {
        after = row.seq
        this.#skipped.delete(row.messageId)
        if (this.#done.has(row.messageId)) continue
        if (!this.#pushed.has(row.messageId)) this.#outbox.write(this.#frameOf(row))
        this.#pushed.add(row.messageId)
        if (row.mail) this.#mail.add(row.messageId)
      }
      if (this.#outbox.full) await this.#drained()
      if (this.#closed) return
      if (page.length === pageSize) continue
      if (this.#mode === 'holding') {
        if (this.#skipped.size === 0 && !this.#again) break
        // Once more from the beginning, for each id at most once: a send that failed never appears.
        after = 0
        this.#skipped.clear()
        if (this.#again) await this.#claim()
      }
      // Whatever is stored from now on is held, and one more page shows what came before.
      this.#mode = 'holding'
    }
    const held = this.#held.filter(({ id }) => !this.#pushed.has(id) && !this.#done.has(id))
    this.#held = []
    this.#done.clear()
    this.#mode = 'live'
    for (const { id, head, wrap, tail, mail } of held) this.push(id, head, wrap, tail, mail)
    if (this.#again) this.again()
  }

  async #claim(): Promise<void> {
    this.#again = false
    if (this.#member === undefined) return
    await this.#env.writer.settled()
    await claimMail(this.#env.db, this.#mesh.id, this.#member, this.#me)
  }

  get #closed(): boolean {
    return this.#mode === 'closed'
  }

  #drained(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = () => {
        this.#wake = undefined
        resolve()
      }
    })
  }

  #frameOf(row: Row): string {
    const proof = row.chain && row.presence ? `,"chain":${JSON.stringify(row.chain)},"presence":"${row.presence}"` : ''
    const wrap = row.wrap === null ? '' : `,"wrap":"${row.wrap}"`
    return pushHead(this.#mesh.id, row) + wrap + (row.mail ? mailMark : '') + proof + tailOf(row.ciphertext)
  }
}

/** The oldest stored messages of a session's queue, and of the mail it holds, beyond `after`, each with what proves its sender. */
function queuePage(db: Database, mesh: MeshId, { me, member }: { me: SessionPubkey; member: MemberPubkey | undefined }, after: number) {
  const own = eq(delivery.recipientPubkey, me)
  const due = member === undefined ? own : and(inArray(delivery.recipientPubkey, [me, member]), or(own, eq(delivery.holder, me)))
  return db
    .select({
      seq: delivery.seq,
      messageId: message.id,
      id: message.clientId,
      senderPubkey: message.senderPubkey,
      priority: message.priority,
      targetSpec: message.targetSpec,
      createdAt: message.createdAt,
      nonce: message.nonce,
      wrap: delivery.wrap,
      mail: delivery.mail,
      ciphertext: message.ciphertext,
      chain: presence.chain,
      presence: presence.presence,
    })
    .from(delivery)
    .innerJoin(message, and(eq(message.meshId, delivery.meshId), eq(message.id, delivery.messageId)))
    .leftJoin(presence, and(eq(presence.meshId, delivery.meshId), eq(presence.sessionPubkey, delivery.senderPubkey)))
    .where(and(eq(delivery.meshId, mesh), due, inQueue, gt(delivery.seq, after)))
    .orderBy(asc(delivery.seq))
    .limit(pageSize)
}
