import { fingerprint, issueRecord, peekRecord, toB64u, TokenCache, verifyChain, verifyRecord, type RecordOf } from '@claudemesh/crypto'
import { foldName, limits, MeshError, parseMemory, parseQuery, parseTags, times, type MemoryId, type Query } from '@claudemesh/protocol'
import type { Kernel } from '../kernel.ts'
import type { MemoryStore } from '../memory-store.ts'
import { admits } from '../memory-words.ts'
import type { RecallOptions, Remembered } from '../types.ts'

type Said = Omit<RecordOf<'memory'>, 'k'>

const usual = 8
/** Matches that are opened for one recall before it gives up on filters that admit none of them. */
const mostOpened = 2000

/** What the mesh remembers. Sealed, it is searched here; where the signed policy says plain, the broker searches. Authors and times are verified either way. */
export class Memory {
  readonly #kernel: Kernel
  readonly #tokens = new TokenCache()
  #store: Promise<MemoryStore> | undefined

  constructor(kernel: Kernel) {
    this.#kernel = kernel
  }

  /** Keeps a text for the whole mesh and gives its id. Throws `bad_memory`, `too_large`, `quota_exceeded`. */
  async remember(content: string, tags: readonly string[] = []): Promise<MemoryId> {
    const { calls, records, options, random } = this.#kernel
    const memoryId = toB64u(random(16)) as MemoryId
    const said: Said = { id: memoryId, content: parseMemory(content), tags: parseTags(tags), ts: options.clock.now() }
    const { mesh } = options.identity
    if (this.#plain) await calls.memory.remember({ memoryId, token: issueRecord('memory', { mesh, session: options.session.key, ...said }) })
    else await calls.memory.remember({ memoryId, record: (await records.seal('memory', memoryId, said)).record })
    await this.#wrote()
    return memoryId
  }

  /** The memories that answer a query, best first. What does not verify is left out, and logged. */
  async recall(query: string, options: RecallOptions = {}): Promise<Remembered[]> {
    if (query.length > limits.recallChars) throw new MeshError('too_large', `the query is over ${limits.recallChars} characters`)
    if ((options.limit ?? usual) > limits.recallResults) throw new MeshError('too_large', `one recall gives at most ${limits.recallResults} memories`)
    return this.#plain ? this.#askBroker(query, options) : this.#search(query, options)
  }

  /** Takes a memory out of every recall, for everybody. Throws `not_found`. */
  async forget(memoryId: MemoryId): Promise<void> {
    const { calls, records, options } = this.#kernel
    const said: Said = { id: memoryId, content: '', tags: [], ts: options.clock.now(), forgotten: true }
    await calls.memory.forget(this.#plain ? { memoryId } : { memoryId, record: (await records.seal('memory', memoryId, said)).record })
    await this.#wrote()
  }

  get #plain(): boolean {
    return this.#kernel.policy.current?.allow.memory === 'plain'
  }

  async #wrote(): Promise<void> {
    const store = await this.#store
    store?.wrote()
  }

  /** The store, and with it the search library, comes with the first search. */
  #opened(): Promise<MemoryStore> {
    this.#store ??= import('../memory-store.ts').then(({ MemoryStore }) => new MemoryStore(this.#kernel))
    return this.#store
  }

  async #search(text: string, options: RecallOptions): Promise<Remembered[]> {
    const query = parseQuery(text)
    const store = await this.#opened()
    const found = await this.#pick(store, query, options)
    if (found) return found
    // What was kept on disk is not what was put there.
    await store.reset()
    return (await this.#pick(store, query, options)) ?? []
  }

  /** Undefined when a row that came from the cache does not open. */
  async #pick(store: MemoryStore, query: Query, options: RecallOptions): Promise<Remembered[] | undefined> {
    const { limit = usual, since = 0 } = options
    const tags = parseTags(options.tags ?? [])
    const picked: Remembered[] = []
    let opened = 0
    for (const { id, ...match } of (await store.index()).find(query)) {
      if (picked.length === limit || opened === mostOpened) break
      const row = store.row(id)
      if (!row || match.at < since || !tags.every((tag) => match.tags.includes(tag))) continue
      opened++
      try {
        const { content, by } = await this.#kernel.records.open('memory', row)
        const memory = toRemembered(id, content, by)
        if (admits(query, memory.content) && isBy(memory, options.by)) picked.push(memory)
      } catch (error) {
        if (error instanceof MeshError && error.code === 'cannot_open' && store.fromCache) return undefined
        this.#refused(id, error)
      }
    }
    return picked
  }

  async #askBroker(query: string, { tags, by, since, limit = usual }: RecallOptions): Promise<Remembered[]> {
    const { memories, tokens } = await this.#kernel.calls.memory.recall({
      query,
      limit,
      ...(tags === undefined ? {} : { tags: parseTags(tags) }),
      ...(by === undefined ? {} : { by }),
      ...(since === undefined ? {} : { since }),
    })
    const picked: Remembered[] = []
    for (const { memoryId, token, chain } of memories) {
      try {
        const certificates = chain.map((i) => tokens[i] ?? '')
        picked.push(this.#verified(memoryId, token, certificates))
      } catch (error) {
        this.#refused(memoryId, error)
      }
    }
    return picked
  }

  /** A plain memory, its author's certificates counting as of its own time. */
  #verified(id: MemoryId, token: string | undefined, certificates: readonly string[]): Remembered {
    const { clock, identity } = this.#kernel.options
    const { mesh, root } = identity
    if (token === undefined) throw new MeshError('wrong_form', 'a sealed row in a mesh whose policy says plain')
    const { ts } = peekRecord(token, 'memory')
    if (ts > clock.now() + times.skew) throw new MeshError('bad_record', 'it is dated in the future')
    const { member, session } = verifyChain(certificates, { mesh, root, now: ts, ends: 'session', cache: this.#tokens })
    const content = verifyRecord(token, 'memory', { mesh, chain: { member, session } })
    return toRemembered(id, content, { name: member.name, member, session: session.key, fingerprint: fingerprint(session.key) })
  }

  #refused(id: MemoryId, error: unknown): void {
    if (!(error instanceof MeshError)) throw error
    this.#kernel.log('warn', 'memory_refused', { id, error: error.code })
  }
}

function toRemembered(id: MemoryId, said: RecordOf<'memory'>, { name, member, session, fingerprint: key }: Author): Remembered {
  if (said.id !== id || said.forgotten) throw new MeshError('bad_record', 'it is another memory')
  const { content, tags, ts: at } = said
  if (parseMemory(content) !== content || parseTags(tags).join() !== tags.join()) throw new MeshError('bad_memory', 'text and tags are not in their one form')
  return { id, content, tags, at, by: { name, member: { id: member.id, name: member.name }, session, fingerprint: key } }
}

interface Author {
  readonly name: string
  readonly member: Pick<Remembered['by']['member'], 'id' | 'name'>
  readonly session: Remembered['by']['session']
  readonly fingerprint: string
}

function isBy({ by }: Remembered, name: string | undefined): boolean {
  return name === undefined || [by.name, by.member.name].some((known) => foldName(known) === foldName(name))
}
