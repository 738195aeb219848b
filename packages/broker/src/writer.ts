import type { Clock, Log } from '@claudemesh/protocol'
import type { Database } from './ports.ts'
import { rows } from './sql.ts'
import { insertStatement, receiptStatement, type Entry, type Receipt, type Settled } from './statements.ts'
import { causeOf } from './cause.ts'
import { asked } from './asked.ts'
import type { Meter } from './meter.ts'
import type { Tracer } from './tracing.ts'
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
  readonly #timed: { readonly clock: Clock; readonly meter: Meter }
  readonly #tracer: Tracer | undefined
  readonly #onSettled: (settled: Settled[]) => void
  #entries: Entry[] = []
  #bytes = 0
  #receipts: Receipt[] = []
  #tasks: (() => Promise<void>)[] = []
  #running: Promise<void> | undefined
  #resume: (() => void)[] = []
  /** Ends of the waits for a store that failed. */
  readonly #retries = new Set<() => void>()
  /** When the oldest message of the batch in flight was taken. */
  #inFlight: number | undefined

  constructor(env: { db: Database; log: Log; clock: Clock; meter: Meter; tracer: Tracer | undefined }, onSettled: (settled: Settled[]) => void) {
    const { db, log, clock, meter, tracer } = env
    this.#db = db
    this.#log = log
    this.#clock = clock
    this.#meter = meter
    this.#timed = { clock, meter }
    this.#tracer = tracer
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
    return { entries: this.#entries.length, bytes: this.#bytes, since: this.#inFlight ?? this.#entries[0]?.createdAt }
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
      for (const task of tasks) await asked(this.#timed, 'task', task)
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
    const began = this.#clock.now()
    this.#inFlight = entries[0]?.createdAt
    this.#meter.observe('batch_entries', entries.length)
    const span = this.#tracer?.begin('store messages', { entries: entries.length }, ...entries.map((entry) => entry.span))
    try {
      const stored = new Set((await asked(this.#timed, 'messages', () => rows<{ key: string }>(this.#db, insertStatement(entries)))).map((row) => row.key))
      this.#meter.observe('batch_seconds', (this.#clock.now() - began) / 1000)
      this.#meter.count('messages', 'stored', stored.size)
      span?.end()
      for (const entry of entries) entry.settled(stored.has(entry.meshId + entry.id) ? 'stored' : 'known')
    } catch (error) {
      this.#log('error', 'store_failed', { what: 'insert', count: entries.length, cause: causeOf(error) })
      span?.end({ code: storeFailure(error)?.code ?? 'internal' })
      const outcome = storeFailure(error) ?? (error instanceof Error ? error : new Error(String(error)))
      for (const entry of entries) entry.settled(outcome)
    } finally {
      this.#inFlight = undefined
    }
    return entries.length
  }

  async #update(receipts: Receipt[]): Promise<number> {
    try {
      this.#onSettled(await asked(this.#timed, 'receipts', () => rows<Settled>(this.#db, receiptStatement(receipts))))
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
