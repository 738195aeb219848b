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

/** The files shared with the mesh: each manifest is opened and verified once. */
export class SharedFiles {
  readonly #kernel: Kernel
  /** By file, and what it was made of: a record that was replaced is opened anew. */
  #known = new Map<FileId, { readonly nonce: string; readonly shared: Shared | undefined }>()

  constructor(kernel: Kernel) {
    this.#kernel = kernel
  }

  /** All that verify, oldest first. */
  async all(): Promise<Shared[]> {
    const known = new Map<FileId, { nonce: string; shared: Shared | undefined }>()
    let after: number | undefined
    for (let page = 0; page < mostPages; page++) {
      const { files, tokens, next } = await this.#kernel.calls.files.list(after === undefined ? {} : { after })
      for (const { fileId: id, record, chain } of files) {
        const before = this.#known.get(id)
        const same = before?.nonce === record.n ? before : undefined
        known.set(
          id,
          same ?? {
            nonce: record.n,
            shared: await this.#open(
              id,
              record,
              chain.map((index) => tokens[index] ?? ''),
            ),
          },
        )
      }
      if (next === undefined || next === after) break
      after = next
    }
    this.#known = known
    return [...known.values()].flatMap(({ shared }) => (shared ? [shared] : []))
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

/** Tags as they are signed. Throws `bad_name` or `too_large`. */
export function checkedTags(tags: readonly string[]): string[] {
  if (tags.length > limits.tagsPerRecord) throw new MeshError('too_large', `${tags.length} tags are given, ${limits.tagsPerRecord} is the limit`)
  return [...new Set(tags.map((tag) => parseLabel(tag, 'tag', limits.tagChars)))].filter((tag) => tag !== '')
}

/** Whether each word stands in name or tags, and the file is of that peer or member; all folded. */
export function matches({ name, tags, by }: SharedFile, words: readonly string[], from: string | undefined): boolean {
  const text = foldName([name, ...tags].join(' '))
  return words.every((word) => text.includes(word)) && (from === undefined || foldName(by.name) === from || foldName(by.member.name) === from)
}
