import { claimedRecord, openLocal, openRecord, sealLocal, toB64u, tokenHash } from '@claudemesh/crypto'
import { contract, MeshError, type MemoryId, type Output } from '@claudemesh/protocol'
import type { Kernel } from './kernel.ts'
import { MemoryIndex } from './memory-index.ts'
import { allLines, headOf, readLines, rowLine, writerLine, type Rows, type SealedRow } from './memory-lines.ts'
import type { MemoryCache } from './ports.ts'

type Page = Output<typeof contract.memory.sync>

// A saved index is made anew when it lacks so many memories, and a twentieth of all.
const saveAfter = 256

/** The sealed memories of the mesh on this side: synced by cursor, kept sealed, opened to be indexed. */
export class MemoryStore {
  /** Whether some of what is known was read from the cache. */
  fromCache = false
  readonly #kernel: Kernel
  readonly #cache: MemoryCache | undefined
  #rows: Rows = { rows: new Map(), writers: new Map() }
  #index = new MemoryIndex()
  #cursor = 0
  #loaded = false
  #unsaved = 0
  /** Whether nothing can have changed at the broker since the last sync. */
  #fresh = false
  #syncing: Promise<void> | undefined

  constructor(kernel: Kernel) {
    this.#kernel = kernel
    this.#cache = kernel.options.memoryCache
    kernel.takes.put(contract.memory.changed, ({ seq }) => {
      if (seq > this.#cursor) this.#fresh = false
    })
    kernel.events.on('connection', ({ phase }) => {
      if (phase !== 'ready') this.#fresh = false
    })
  }

  /** To be called after this session wrote: its own writes are not announced to it. */
  wrote(): void {
    this.#fresh = false
  }

  /** The index over all memories that the broker has now. */
  async index(): Promise<MemoryIndex> {
    while (!this.#fresh || this.#syncing) await (this.#syncing ??= this.#sync().finally(() => (this.#syncing = undefined)))
    return this.#index
  }

  row(id: MemoryId): { id: MemoryId; record: SealedRow['record']; chain: readonly string[] } | undefined {
    const row = this.#rows.rows.get(id)
    return row && { id, record: row.record, chain: this.#rows.writers.get(row.writer) ?? [] }
  }

  /** Begins anew at the next sync. Only what was forgotten is remembered, so that nobody can bring it back. */
  async reset(): Promise<void> {
    const forgotten = [...this.#rows.rows.values()].filter((row) => row.forgotten)
    this.#rows = { rows: new Map(forgotten.map((row) => [row.id, { ...row, seq: 1 }])), writers: this.#rows.writers }
    this.#index = new MemoryIndex()
    this.#cursor = 0
    this.#fresh = false
    this.fromCache = false
    await this.#cache?.replace(this.#head() + allLines(this.#rows))
  }

  #head(): string {
    return headOf(this.#kernel.options.identity.mesh, toB64u(this.#kernel.random(12)))
  }

  async #sync(): Promise<void> {
    await this.#kernel.keys.current()
    if (!this.#loaded) await this.#load()
    this.#fresh = true
    try {
      for (let more = true; more;) more = await this.#take(await this.#kernel.calls.memory.sync({ after: this.#cursor }))
    } catch (error) {
      this.#fresh = false
      throw error
    }
    if (this.#cache && this.#unsaved > Math.max(saveAfter, this.#index.size / 20)) await this.#save(this.#cache)
  }

  async #load(): Promise<void> {
    const { mesh } = this.#kernel.options.identity
    const text = await this.#cache?.load()
    const known = text === undefined ? undefined : readLines(text, mesh)
    if (known) {
      this.#rows = known
      this.fromCache = true
      if (known.lines > 2 * known.rows.size + saveAfter) await this.#cache?.replace(this.#head() + allLines(known))
      const indexedTo = await this.#loadIndex()
      let damaged = false
      for (const row of known.rows.values()) {
        this.#cursor = Math.max(this.#cursor, row.seq)
        if (row.seq > indexedTo && !(await this.#put(row))) damaged = true
      }
      if (damaged) await this.reset()
    } else await this.#cache?.replace(this.#head())
    this.#loaded = true
  }

  /** Takes over the saved index and gives the seq up to which it knows the rows; 0 without one. */
  async #loadIndex(): Promise<number> {
    const sealed = await this.#cache?.loadIndex()
    if (sealed === undefined) return 0
    try {
      const text = await openLocal(sealed, { mesh: this.#kernel.options.identity.mesh, key: (epoch) => this.#kernel.keys.of(epoch) })
      const end = text.indexOf(' ')
      this.#index = new MemoryIndex(text.slice(end + 1))
      return Number(text.slice(0, end))
    } catch {
      // Cut off, of another version or of another mesh: it is made anew.
      this.#index = new MemoryIndex()
      return 0
    }
  }

  async #take({ memories, tokens, more, head }: Page): Promise<boolean> {
    if (head < this.#cursor) {
      this.#kernel.log('warn', 'memory_set_back', { head, cursor: this.#cursor })
      await this.reset()
      return true
    }
    const lines: string[] = []
    for (const { memoryId: id, seq, record, chain } of memories) {
      const certificates = chain.map((i) => tokens[i] ?? '')
      const writer = tokenHash(certificates.at(-1) ?? '')
      if (!record || seq <= this.#cursor) throw new MeshError('bad_frame', 'memory_rows: not the sealed rows after the cursor')
      if (!this.#rows.writers.has(writer)) lines.push(writerLine(writer, certificates))
      this.#rows.writers.set(writer, certificates)
      this.#cursor = seq
      const row = await this.#put({ id, seq, record, writer, forgotten: this.#rows.rows.get(id)?.forgotten ?? false })
      if (row) lines.push(rowLine(row))
    }
    if (lines.length > 0) await this.#cache?.append(lines.join(''))
    return more && memories.length > 0
  }

  /** Indexes a row for what it claims; who wrote it is verified when it is shown. What was forgotten once stays so, whatever is shown later. Undefined for a row that does not open. */
  async #put(row: SealedRow): Promise<SealedRow | undefined> {
    const claimed = row.forgotten ? undefined : await this.#claimed(row)
    if (!row.forgotten && !claimed) return undefined
    const forgotten = row.forgotten || claimed?.forgotten === true
    const known = forgotten === row.forgotten ? row : { ...row, forgotten }
    this.#rows.rows.set(row.id, known)
    this.#index.remove(row.id)
    if (claimed && !forgotten) this.#index.add({ id: row.id, content: claimed.content, tags: claimed.tags, at: claimed.ts })
    this.#unsaved++
    return known
  }

  async #claimed(row: SealedRow): Promise<ReturnType<typeof claimedRecord<'memory'>> | undefined> {
    try {
      const { mesh } = this.#kernel.options.identity
      const key = await this.#kernel.keys.of(row.record.e)
      return claimedRecord(openRecord(row.record, { mesh, purpose: 'memory', id: row.id, key }), 'memory')
    } catch (error) {
      if (!(error instanceof MeshError)) throw error
      this.#kernel.log('warn', 'memory_refused', { id: row.id, error: error.code })
      return undefined
    }
  }

  async #save(cache: MemoryCache): Promise<void> {
    const { mesh } = this.#kernel.options.identity
    const { epoch, key } = await this.#kernel.keys.current()
    await cache.saveIndex(sealLocal({ mesh, epoch, key, text: `${this.#cursor} ${this.#index.save()}`, random: this.#kernel.random }))
    this.#unsaved = 0
  }
}
