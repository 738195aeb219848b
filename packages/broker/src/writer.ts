import type { Clock, Log } from '@claudemesh/protocol'
import { Backlog } from './backlog.ts'
import { takeBack, type Conflicts } from './conflicts.ts'
import { Early } from './early.ts'
import { Lanes } from './lanes.ts'
import type { Database } from './ports.ts'
import { preparedRows, rows } from './sql.ts'
import { insertStatement, receiptStatement, settledEarly, type Entry, type Outcome, type Receipt, type Settled } from './statements.ts'
import { causeOf } from './cause.ts'
import { asked, type Watching } from './asked.ts'
import type { Meter } from './meter.ts'
import { storeFailure } from './store-failure.ts'

const batch = { entries: 512, bytes: 8 * 1024 * 1024, receipts: 4096 } as const
const mostReceipts = 100_000
// After the store failed.
const retryAfter = 1_000
const ready = { bytes: 32 * 1024 * 1024, entries: 20_000 } as const

/** The group commit: what waits goes into one insert, one batch in flight, receipts after the inserts they refer to, tasks after both. */
export class Writer {
  readonly #db: Database
  readonly #log: Log
  readonly #clock: Clock
  readonly #meter: Meter
  readonly #watching: Watching
  readonly #onSettled: (settled: Settled[]) => void
  readonly #lanes = new Lanes()
  readonly #early = new Early()
  #receipts: Receipt[] = []
  #tasks: (() => Promise<void>)[] = []
  #running: Promise<void> | undefined
  #resume: (() => void)[] = []
  /** Ends of the waits for a store that failed. */
  readonly #retries = new Set<() => void>()
  readonly backlog = new Backlog()
  /** When the oldest message of the batch in flight was taken. */
  #inFlight: number | undefined

  constructor(env: Watching & { readonly db: Database; readonly log: Log }, onSettled: (settled: Settled[]) => void) {
    const { db, log, clock, meter, tracer } = env
    this.#db = db
    this.#log = log
    this.#clock = clock
    this.#meter = meter
    this.#watching = { clock, meter, tracer }
    this.#onSettled = onSettled
  }

  add(entry: Entry): void {
    this.#lanes.push(entry)
    this.#early.add(entry)
    this.backlog.add(entry.meshId)
    this.#start()
  }

  /** Writes a receipt with its message while that waits, and else after it. */
  receive(receipt: Receipt): void {
    if (this.#early.keep(receipt)) return
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

  /** As `after`, and again and again while the store has no room or does not answer: for work that may come late, and more than once. */
  insist(what: string, work: () => Promise<void>): void {
    this.after(work).catch((error: unknown) => {
      this.#log('error', 'store_failed', { what, cause: causeOf(error) })
      if (storeFailure(error)) this.#later(() => this.insist(what, work))
    })
  }

  /** Nothing is tried again. */
  end(): void {
    for (const cancel of this.#retries) cancel()
    this.#retries.clear()
  }

  /** Resolves once everything added before is committed. */
  async settled(): Promise<void> {
    if (this.#running) await this.after(async () => {})
  }

  /** What waits for its commit, the batch in flight not counted, and since when the oldest does, that batch included. */
  get waiting(): { entries: number; bytes: number; since: number | undefined } {
    return { entries: this.#lanes.size, bytes: this.#lanes.bytes, since: this.#inFlight ?? this.#lanes.oldest?.since }
  }

  /** True while so much waits that senders should be paused; `whenReady` tells when to go on. */
  get full(): boolean {
    return this.#lanes.bytes > ready.bytes || this.#lanes.size > ready.entries
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
    while (this.#lanes.size + this.#receipts.length + this.#tasks.length > 0) {
      // A round is what waits at its beginning, so that tasks come to their turn however much is added meanwhile.
      const [last, receipts, began] = [this.#lanes.last, this.#receipts.length, this.#clock.now()]
      const tasks = this.#tasks.splice(0)
      let entries = 0
      while ((this.#lanes.oldest?.place ?? Infinity) <= last) entries += await this.#insert(this.#lanes.take(batch.entries, batch.bytes))
      for (let left = receipts; left > 0;) left -= await this.#update(this.#receipts.splice(0, Math.min(left, batch.receipts)))
      this.backlog.took(entries, this.#clock.now() - began)
      for (const task of tasks) await asked(this.#watching, 'task', task)
      if (!this.full) for (const resume of this.#resume.splice(0)) resume()
    }
    this.#running = undefined
  }

  async #insert(entries: Entry[]): Promise<number> {
    const began = this.#clock.now()
    this.#inFlight = Math.min(...entries.map(({ createdAt }) => createdAt))
    this.#meter.observe('batch_entries', entries.length)
    this.#early.taken(entries)
    try {
      const insert = () => preparedRows<{ key: string }>(this.#db, insertStatement(entries))
      const more = { facts: { entries: entries.length }, causes: () => entries.map((entry) => entry.span) }
      const stored = new Set((await asked(this.#watching, 'messages', insert, more)).map((row) => row.key))
      this.#meter.observe('batch_seconds', (this.#clock.now() - began) / 1000)
      this.#meter.count('messages', 'stored', stored.size)
      this.#stored(entries, stored, await this.#conflicts(entries, stored))
    } catch (error) {
      this.#log('error', 'store_failed', { what: 'insert', count: entries.length, cause: causeOf(error) })
      this.#failed(entries, error)
    } finally {
      this.#inFlight = undefined
    }
    return entries.length
  }

  async #conflicts(entries: readonly Entry[], stored: ReadonlySet<string>): Promise<Conflicts> {
    if (stored.size === entries.length) return new Map()
    const known = entries.filter((entry) => !stored.has(entry.meshId + entry.id))
    try {
      return await asked(this.#watching, 'task', () => takeBack(this.#db, known))
    } catch (error) {
      // What is stored is stored.
      this.#log('error', 'store_failed', { what: 'conflicts', count: known.length, cause: causeOf(error) })
      return new Map()
    }
  }

  #stored(entries: readonly Entry[], stored: ReadonlySet<string>, conflicts: Conflicts): void {
    const early: Settled[] = []
    for (const entry of entries) {
      if (stored.has(entry.meshId + entry.id)) {
        this.#settle(entry, 'stored')
        early.push(...settledEarly(entry))
        continue
      }
      const takenBack = conflicts.get(entry)
      this.#settle(entry, { takenBack: takenBack ?? new Set() })
      // What was said of a repeat is said of the message that was stored before.
      if (!takenBack && entry.early) this.#receipts.push(...entry.early.values())
    }
    this.#tell(early)
  }

  #failed(entries: readonly Entry[], error: unknown): void {
    const away = storeFailure(error)
    // What their senders sent after them would overtake them.
    const behind = away ? this.#lanes.takeOf(entries) : []
    this.#early.taken(behind)
    const outcome = away ?? (error instanceof Error ? error : new Error(String(error)))
    for (const entry of [...entries, ...behind]) this.#settle(entry, outcome)
  }

  /** One that cannot be told keeps nobody else from being told. */
  #settle(entry: Entry, outcome: Outcome): void {
    this.backlog.remove(entry.meshId)
    try {
      entry.settled(outcome)
    } catch (error) {
      this.#log('error', 'handler_failed', { what: 'settled', cause: causeOf(error) })
    }
  }

  #tell(settled: Settled[]): void {
    try {
      this.#onSettled(settled)
    } catch (error) {
      this.#log('error', 'handler_failed', { what: 'receipts', cause: causeOf(error) })
    }
  }

  async #update(receipts: Receipt[]): Promise<number> {
    try {
      const update = () => rows<Settled>(this.#db, receiptStatement(receipts))
      this.#tell(await asked(this.#watching, 'receipts', update, { facts: { entries: receipts.length } }))
    } catch (error) {
      this.#log('error', 'store_failed', { what: 'receipts', count: receipts.length, cause: causeOf(error) })
      if (storeFailure(error)) this.#later(() => this.#again(receipts))
    }
    return receipts.length
  }

  /** Beyond what may wait the newest are dropped: their messages are shown again after a reconnect, and receipted again. */
  #again(receipts: readonly Receipt[]): void {
    this.#receipts = [...receipts, ...this.#receipts].slice(0, mostReceipts)
    this.#start()
  }

  #later(task: () => void): void {
    const cancel = this.#clock.after(retryAfter, () => {
      this.#retries.delete(cancel)
      task()
    })
    this.#retries.add(cancel)
  }
}
