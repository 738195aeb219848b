import { extname } from 'node:path'
import { Worker } from 'node:worker_threads'

/** One statement for the thread; without `sql`, the wish to close. */
export interface Ask {
  readonly id: number
  readonly sql?: string
  readonly params?: unknown[]
  readonly rowMode?: 'array' | 'object'
}

/** What became of the statement with this id; 0 is the opening. */
export interface Answer {
  readonly id: number
  readonly result?: unknown
  readonly error?: unknown
  /** The error's code, which does not cross with it. */
  readonly code?: unknown
}

/** PostgreSQL's code for a server that goes down: nothing was done. */
const shutDown = '57P01'

interface Pending {
  readonly resolve: (result: unknown) => void
  readonly reject: (error: unknown) => void
}

interface Querying {
  query(sql: string, params?: unknown[], options?: { rowMode?: 'array' | 'object' }): Promise<unknown>
}

/** PGlite in a thread of its own, with the part of its interface that drizzle uses: so that no query holds up the message path. */
export class PgliteThread implements Querying, AsyncDisposable {
  readonly #worker: Worker
  readonly #pending = new Map<number, Pending>()
  #last = 0
  #ended: Error | undefined
  #closing = false
  readonly #gone = Promise.withResolvers<Error>()
  /** Settles when the transaction under way has ended, never rejects. */
  #transaction: Promise<void> | undefined

  private constructor(worker: Worker) {
    this.#worker = worker
    worker.on('message', (answer: Answer) => this.#settle(answer))
    worker.on('error', (error) => this.#end(error))
    worker.on('exit', () => this.#end(new Error('the embedded store has ended')))
  }

  /** Resolves when the thread ends by itself, with the reason. */
  get gone(): Promise<Error> {
    return this.#gone.promise
  }

  /** Opens the store in this folder, or in memory without one. */
  static async open(folder: string | undefined): Promise<PgliteThread> {
    const worker = new Worker(new URL(`./pglite-worker${extname(import.meta.url)}`, import.meta.url), { workerData: { folder } })
    const thread = new PgliteThread(worker)
    try {
      await new Promise((resolve, reject) => thread.#pending.set(0, { resolve, reject }))
    } catch (error) {
      await worker.terminate()
      throw error
    }
    return thread
  }

  /** Runs a statement, after a transaction that is under way. */
  async query(sql: string, params: unknown[] = [], options: { rowMode?: 'array' | 'object' } = {}): Promise<unknown> {
    while (this.#transaction) await this.#transaction
    return this.#ask({ sql, params, ...options })
  }

  /** Runs `work` between begin and commit, or rollback when it throws. */
  async transaction<T>(work: (client: Querying) => Promise<T>): Promise<T> {
    while (this.#transaction) await this.#transaction
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#transaction = promise
    try {
      return await this.#transact(work)
    } finally {
      this.#transaction = undefined
      resolve()
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#ended) return
    this.#closing = true
    await this.#ask({})
    await this.#worker.terminate()
  }

  async #transact<T>(work: (client: Querying) => Promise<T>): Promise<T> {
    await this.#ask({ sql: 'begin' })
    try {
      const result = await work({ query: (sql, params = [], options = {}) => this.#ask({ sql, params, ...options }) })
      await this.#ask({ sql: 'commit' })
      return result
    } catch (error) {
      await this.#ask({ sql: 'rollback' })
      throw error
    }
  }

  #ask(ask: { sql?: string; params?: unknown[]; rowMode?: 'array' | 'object' }): Promise<unknown> {
    if (this.#ended) return Promise.reject(this.#ended)
    const id = ++this.#last
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve, reject })
      // Drizzle's options carry functions, which do not cross: only what the thread needs is sent.
      const { sql, params, rowMode } = ask
      this.#worker.postMessage({ id, ...(sql !== undefined && { sql, params: params ?? [] }), ...(rowMode && { rowMode }) } satisfies Ask)
    })
  }

  #settle({ id, result, error, code }: Answer): void {
    const pending = this.#pending.get(id)
    this.#pending.delete(id)
    if (error === undefined) pending?.resolve(result)
    else pending?.reject(error instanceof Error && code !== undefined ? Object.assign(error, { code }) : error)
  }

  #end(error: Error): void {
    this.#ended ??= Object.assign(error, { code: shutDown })
    if (!this.#closing) this.#gone.resolve(error)
    for (const { reject } of this.#pending.values()) reject(error)
    this.#pending.clear()
  }
}
