import type { RecordOf, SealedRecord } from '@claudemesh/crypto'
import { fromB64u } from '@claudemesh/crypto'
import { MeshError, foldName, limits, parseLabel, type FileId } from '@claudemesh/protocol'
import type { Kernel } from '../kernel.ts'
import { safeFileName } from './name.ts'
import type { RemoteFile, SharedFile } from './types.ts'

type Manifest = RecordOf<'file'>

/** A shared file, to show and to fetch. */
export interface Shared {
  readonly shared: SharedFile
  readonly file: RemoteFile
}

const mostPages = 1000
/** Manifests that were opened are remembered, so many of them. */
const remembered = 4096

/** The files shared with the mesh: each manifest is opened and verified once. */
export class SharedFiles {
  readonly #kernel: Kernel
  /** By file, and what it was made of: a record that was replaced is opened anew. */
  readonly #known = new Map<FileId, { readonly nonce: string; readonly shared: Shared | undefined }>()

  constructor(kernel: Kernel) {
    this.#kernel = kernel
  }

  /** Those that verify, newest first, from behind a place: pages are fetched as far as they are asked for. */
  async *newest(after?: number): AsyncGenerator<Shared & { readonly place: number }, void> {
    let from = after
    for (let page = 0; page < mostPages; page++) {
      const { files, tokens, next } = await this.#kernel.calls.files.list({ order: 'newest', ...(from === undefined ? {} : { after: from }) })
      for (const { fileId: id, record, chain, place } of files) {
        const tokensOf = () => chain.map((index) => tokens[index] ?? '')
        const shared = await this.#opened(id, record, tokensOf)
        if (shared) yield { ...shared, place }
      }
      if (next === undefined) return
      if (from !== undefined && next >= from) break
      from = next
    }
    throw new MeshError('bad_frame', 'the list of the files has no end')
  }

  async #opened(id: FileId, record: SealedRecord, chain: () => readonly string[]): Promise<Shared | undefined> {
    const before = this.#known.get(id)
    if (before?.nonce === record.n) return before.shared
    const shared = await this.#open(id, record, chain())
    this.#known.set(id, { nonce: record.n, shared })
    const [oldest] = this.#known.keys()
    if (this.#known.size > remembered && oldest !== undefined) this.#known.delete(oldest)
    return shared
  }

  async #open(id: FileId, record: SealedRecord, chain: readonly string[]): Promise<Shared | undefined> {
    try {
      const { content, by } = await this.#kernel.records.open('file', { id, record, chain })
      return toShared(id, content, by)
    } catch (error) {
      if (!(error instanceof MeshError) || error.code === 'no_mesh_key' || error.retry !== 'never') throw error
      this.#kernel.log('warn', 'manifest_refused', { file: id, reason: error.code })
      return undefined
    }
  }
}

function toShared(id: FileId, manifest: Manifest, by: SharedFile['by']): Shared {
  if (manifest.id !== id) throw new MeshError('bad_record', 'the manifest is of another file')
  if (manifest.size > limits.file) throw new MeshError('bad_record', 'the manifest claims a size beyond the limit')
  const name = safeFileName(manifest.name)
  const { size, mime, ts, sha256 } = manifest
  return {
    shared: { id, name, size, mime: mime.slice(0, limits.mimeChars), tags: manifest.tags.map(shownTag), sharedAt: ts, by },
    file: { id, name, size, mime, key: fromB64u(manifest.key, 32), sha256 },
  }
}

const shownTag = (tag: string) => tag.toWellFormed().slice(0, limits.tagChars)

/** Tags as they are signed: folded, without the `#`, one word each. Throws `bad_name` or `too_large`. */
export function checkedTags(tags: readonly string[]): string[] {
  if (tags.length > limits.tagsPerRecord) throw new MeshError('too_large', `${tags.length} tags are given, ${limits.tagsPerRecord} is the limit`)
  return [...new Set(tags.map((tag) => foldTag(parseLabel(tag, 'tag', limits.tagChars))))].filter((tag) => tag !== '')
}

/** As a memory's. */
const foldTag = (tag: string) => foldName(tag.replace(/^#/, '')).replaceAll(' ', '-')

/** Whether each word stands in name or tags, or with a `#` is a tag, and the file is of that peer or member; all folded. */
export function matches({ name, tags, by }: SharedFile, words: readonly string[], from: string | undefined): boolean {
  const folded = tags.map(foldTag)
  const text = [foldName(name), ...folded].join(' ')
  const has = (word: string) => (word.startsWith('#') ? folded.includes(word.slice(1)) : text.includes(word))
  return words.every(has) && (from === undefined || foldName(by.name) === from || foldName(by.member.name) === from)
}
