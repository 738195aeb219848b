import type { MemoryId, Query } from '@claudemesh/protocol'
import MiniSearch, { type Options } from 'minisearch'
import { stemOf, wordsOf } from './memory-words.ts'

/** What of a memory is searched and filtered by. */
export interface Indexed {
  readonly id: MemoryId
  readonly content: string
  readonly tags: readonly string[]
  readonly at: number
}

/** What the index tells of a match without the memory being opened. */
export type Match = Pick<Indexed, 'id' | 'tags' | 'at'>

const options: Options<Indexed> = {
  fields: ['content', 'tags'],
  storeFields: ['tags', 'at'],
  stringifyField: (value: unknown) => (Array.isArray(value) ? value.join(' ') : String(value)),
  tokenize: wordsOf,
  processTerm: (term) => stemOf(term) ?? null,
}

/** Ranked full text over opened memories: by stem, the beginning of a word, or a word with a typo. */
export class MemoryIndex {
  readonly #search: MiniSearch<Indexed>

  constructor(saved?: string) {
    this.#search = saved === undefined ? new MiniSearch(options) : MiniSearch.loadJSON(saved, options)
  }

  get size(): number {
    return this.#search.documentCount
  }

  /** Adds a memory, once. */
  add(memory: Indexed): void {
    if (!this.#search.has(memory.id)) this.#search.add(memory)
  }

  remove(id: MemoryId): void {
    if (this.#search.has(id)) this.#search.discard(id)
  }

  /** The memories with any word of the query, best first. */
  find({ words, phrases }: Query): Match[] {
    const text = [...words, ...phrases].join(' ')
    const results = this.#search.search(text, {
      prefix: (term) => term.length > 3,
      fuzzy: (term) => (term.length > 4 ? 0.2 : false),
      weights: { prefix: 0.3, fuzzy: 0.1 },
    })
    return results.map((result) => ({ id: result.id as MemoryId, tags: result['tags'] as string[], at: result['at'] as number }))
  }

  /** As text that the constructor takes. */
  save(): string {
    return JSON.stringify(this.#search)
  }
}
