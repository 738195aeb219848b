import { sql } from 'drizzle-orm'
import type { ClientId, Log, MemberId, MeshId, MessageId, Priority, Rung, SessionPubkey } from '@claudemesh/protocol'
import type { Database } from './ports.ts'
import { rows } from './sql.ts'

/** One envelope on its way into the store. `settled` is called once, after the commit: `known` when the id was stored before. */
export interface Entry {
  readonly meshId: MeshId
  readonly id: MessageId
  readonly clientId: ClientId
  readonly sender: SessionPubkey
  readonly senderMember: MemberId
  readonly targetSpec: string
  readonly priority: Priority
  readonly nonce: string
  readonly body: string
  readonly createdAt: number
  readonly recipients: readonly SessionPubkey[]
  /** As many as recipients, or none when the body is boxed for the single one. */
  readonly wraps: readonly string[]
  settled(outcome: 'stored' | 'known' | Error): void
}

export interface Receipt {
  readonly meshId: MeshId
  readonly messageId: MessageId
  readonly recipient: SessionPubkey
  readonly rung: 'received' | 'failed'
  readonly reason: string
  readonly at: number
}

/** A delivery that left the queue. */
export interface Settled {
  readonly mesh_id: MeshId
  readonly message_id: MessageId
  readonly recipient_pubkey: SessionPubkey
  readonly sender_pubkey: SessionPubkey
  readonly size_bytes: number
  readonly rung: Rung
  readonly reason: string | null
  readonly at: number
}

/** Columns of `Settled`, for statements that take deliveries out of the queue. */
export const settledColumns = sql`d.mesh_id, d.message_id, d.recipient_pubkey, d.sender_pubkey, d.size_bytes, d.rung, d.reason, d.at::float8 as at`

const batch = { entries: 512, bytes: 8 * 1024 * 1024, receipts: 4096 } as const
const ready = { bytes: 32 * 1024 * 1024, entries: 20_000 } as const

/** The group commit: what waits goes into one insert, one batch in flight, receipts after the inserts they refer to, tasks after both. */
export class Writer {
  readonly #db: Database
  readonly #log: Log
  readonly #onSettled: (settled: Settled[]) => void
  #entries: Entry[] = []
  #bytes = 0
  #receipts: Receipt[] = []
  #tasks: (() => Promise<void>)[] = []
  #running: Promise<void> | undefined
  #resume: (() => void)[] = []

  constructor(db: Database, log: Log, onSettled: (settled: Settled[]) => void) {
    this.#db = db
    this.#log = log
    this.#onSettled = onSettled
  }

  add(entry: Entry): void {
    this.#entries.push(entry)
    this.#bytes += entry.body.length
    this.#start()
  }

  receive(receipt: Receipt): void {
    this.#receipts.push(receipt)
    this.#start()
  }

  /** Runs `work` once everything added before is committed. */
  after<T>(work: () => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#tasks.push(() => work().then(resolve, reject))
      this.#start()
    })
  }

  /** Resolves once everything added before is committed. */
  async settled(): Promise<void> {
    if (this.#running) await this.after(async () => {})
  }

  /** True while so much waits that senders should be paused; `whenReady` tells when to go on. */
  get full(): boolean {
    return this.#bytes > ready.bytes || this.#entries.length > ready.entries
  }

  whenReady(resume: () => void): void {
    this.#resume.push(resume)
  }

  #start(): void {
    this.#running ??= this.#run()
  }

  async #run(): Promise<void> {
    // What the same turn of the event loop still reads shall be in the first batch.
    await new Promise(setImmediate)
    while (this.#entries.length + this.#receipts.length + this.#tasks.length > 0) {
      // A round is what waits at its beginning, so that tasks come to their turn however much is added meanwhile.
      const receipts = this.#receipts.length
      const tasks = this.#tasks.splice(0)
      for (let left = this.#entries.length; left > 0;) left -= await this.#insert(this.#take(left))
      for (let left = receipts; left > 0;) left -= await this.#update(this.#receipts.splice(0, Math.min(left, batch.receipts)))
      for (const task of tasks) await task()
      if (!this.full) for (const resume of this.#resume.splice(0)) resume()
    }
    this.#running = undefined
  }

  #take(most: number): Entry[] {
    const limit = Math.min(most, batch.entries)
    let bytes = 0
    let n = 0
    for (; n < limit; n++) {
      bytes += this.#entries[n]?.body.length ?? 0
      if (n > 0 && bytes > batch.bytes) break
    }
    const taken = this.#entries.splice(0, n)
    for (const { body } of taken) this.#bytes -= body.length
    return taken
  }

  async #insert(entries: Entry[]): Promise<number> {
    try {
      const stored = new Set((await rows<{ key: string }>(this.#db, insertStatement(entries))).map((row) => row.key))
      for (const entry of entries) entry.settled(stored.has(entry.meshId + entry.id) ? 'stored' : 'known')
    } catch (error) {
      this.#log('error', 'store_failed', { what: 'insert', count: entries.length, cause: String(error) })
      for (const entry of entries) entry.settled(error instanceof Error ? error : new Error(String(error)))
    }
    return entries.length
  }

  async #update(receipts: Receipt[]): Promise<number> {
    try {
      this.#onSettled(await rows<Settled>(this.#db, receiptStatement(receipts)))
    } catch (error) {
      this.#log('error', 'store_failed', { what: 'receipts', count: receipts.length, cause: String(error) })
    }
    return receipts.length
  }
}

// Columns travel as text joined by line feeds, which no id, key, base64url text or JSON contains: cheaper on both ends than array literals.
const column = (values: readonly (string | number)[]) => sql`string_to_array(${values.join('\n')}::text, E'\n')`
const absent = '-'

// Deliveries are not joined to the messages that were new, which would cost a third: those of a repeat exist already, and those of a conflict are taken back (repeat.ts).
function insertStatement(entries: readonly Entry[]) {
  const meshes: string[] = []
  const ids: string[] = []
  const recipients: string[] = []
  const wraps: string[] = []
  const senders: string[] = []
  const sizes: number[] = []
  const times: number[] = []
  for (const entry of entries) {
    for (const [i, recipient] of entry.recipients.entries()) {
      meshes.push(entry.meshId)
      ids.push(entry.id)
      recipients.push(recipient)
      wraps.push(entry.wraps[i] ?? absent)
      senders.push(entry.sender)
      sizes.push(entry.body.length)
      times.push(entry.createdAt)
    }
  }
  const of = (pick: (entry: Entry) => string | number) => column(entries.map((entry) => pick(entry)))
  return sql`
    with m as (
      insert into mesh.message (mesh_id, id, client_id, sender_pubkey, sender_member_id, target_spec, priority, nonce, ciphertext, created_at)
      select * from unnest(${of((e) => e.meshId)}, ${of((e) => e.id)}, ${of((e) => e.clientId)}, ${of((e) => e.sender)}, ${of((e) => e.senderMember)},
        ${of((e) => e.targetSpec)}, ${of((e) => e.priority)}, ${of((e) => e.nonce)}, ${of((e) => e.body)}, ${of((e) => e.createdAt)}::bigint[])
      on conflict do nothing returning mesh_id, id
    ), d as (
      insert into mesh.delivery (mesh_id, message_id, recipient_pubkey, sender_pubkey, wrap, size_bytes, rung, at)
      select mesh_id, id, recipient, sender, nullif(wrap, ${absent}), size, 'stored', at
      from unnest(${column(meshes)}, ${column(ids)}, ${column(recipients)}, ${column(senders)}, ${column(wraps)}, ${column(sizes)}::int[], ${column(times)}::bigint[])
        as r(mesh_id, id, recipient, sender, wrap, size, at)
      on conflict do nothing
    )
    select mesh_id || id as key from m`
}

function receiptStatement(receipts: readonly Receipt[]) {
  const of = (pick: (receipt: Receipt) => string | number) => column(receipts.map((receipt) => pick(receipt)))
  return sql`
    update mesh.delivery d set rung = r.rung, reason = nullif(r.reason, ${absent}), at = r.at
    from unnest(${of((r) => r.meshId)}, ${of((r) => r.messageId)}, ${of((r) => r.recipient)}, ${of((r) => r.rung)}, ${of((r) => r.reason || absent)}, ${of((r) => r.at)}::bigint[])
      as r(mesh_id, message_id, recipient, rung, reason, at)
    where d.mesh_id = r.mesh_id and d.message_id = r.message_id and d.recipient_pubkey = r.recipient and d.rung = 'stored'
    returning ${settledColumns}`
}
