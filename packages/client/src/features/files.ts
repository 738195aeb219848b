import { fromB64u, toB64u } from '@claudemesh/crypto'
import {
  MeshError,
  contract,
  foldName,
  type Attachment,
  type FileId,
  type Input,
  type MemberPubkey,
  type RecipientPubkey,
  type SessionPubkey,
} from '@claudemesh/protocol'
import { download } from '../files/download.ts'
import { safeFileName } from '../files/name.ts'
import { ObjectWire } from '../files/object-wire.ts'
import { goingOn } from '../files/retry.ts'
import { checkedTags, matches, SharedFiles } from '../files/shared.ts'
import type { AttachedFile, FilePart, FileReader, FileSource, Progress, RemoteFile, SharedFile } from '../files/types.ts'
import { upload } from '../files/upload.ts'
import type { Kernel } from '../kernel.ts'

/** Attachments of messages received are remembered, so many of them. */
const remembered = 4096

export interface ShareOptions {
  /** How peers see it; the file's own name unless given. */
  readonly name?: string
  readonly tags?: readonly string[]
  readonly progress?: Progress
}

export interface FileQuery {
  readonly query?: string
  /** A peer's or member's name. */
  readonly from?: string
  /** At most so many; all unless given. */
  readonly limit?: number
  /** The `next` of the list before, for what follows it. */
  readonly cursor?: string
}

export interface FileList {
  readonly files: readonly SharedFile[]
  /** Where the list goes on; absent at its end. */
  readonly next?: string
}

/** Whom a message with attachments goes to. */
export interface Admitted {
  readonly recipients: readonly SessionPubkey[]
  readonly members?: readonly { readonly key: MemberPubkey }[]
  readonly targetSpec?: string | string[]
}

/** Files of the mesh: attached to messages, or shared with everybody. */
export class Files {
  readonly #kernel: Kernel
  readonly #shared: SharedFiles
  readonly #wire: ObjectWire
  readonly #attached = new Map<FileId, RemoteFile>()

  constructor(kernel: Kernel) {
    this.#kernel = kernel
    this.#shared = new SharedFiles(kernel)
    this.#wire = new ObjectWire(kernel)
    for (const attachment of kernel.options.attached ?? []) this.#remember(attachment)
  }

  /** Brings files to the broker for a message that is yet to be sent; if one fails, none stays. */
  async upload(
    sources: readonly FileSource[],
    { mail, progress }: { readonly mail: boolean; readonly progress?: Progress | undefined },
  ): Promise<Attachment[]> {
    const done: Attachment[] = []
    try {
      for (const source of sources) done.push(await upload(this.#kernel, this.#wire, source, { kind: mail ? 'mail' : 'attachment', progress }))
      return done
    } catch (error) {
      await this.discard(done)
      throw error
    }
  }

  /** Lets these recipients, and those named before, download attachments of this session; members by their next sessions. */
  async admit(attachments: readonly Attachment[], { recipients, members = [], targetSpec }: Admitted): Promise<void> {
    const rest = { ...(members.length === 0 ? {} : { members: members.length }), ...(targetSpec === undefined ? {} : { targetSpec }) }
    const to = packed([...recipients, ...members.map(({ key }) => key)])
    for (const { id } of attachments) await this.#finish({ fileId: id, to, ...rest })
  }

  /** Takes back attachments whose message was not sent. */
  async discard(attachments: readonly Attachment[]): Promise<void> {
    for (const { id } of attachments) await this.#kernel.calls.files.delete({ fileId: id }).catch(() => {})
  }

  /** Remembers what a received message has attached, and says what its reader may know of it. */
  attached(attachments: readonly Attachment[]): AttachedFile[] {
    const fresh = attachments.filter(({ id }) => !this.#attached.has(id))
    if (fresh.length > 0) this.#kernel.events.emit('attached', fresh)
    return attachments.map((attachment) => {
      const { id, name, size, mime } = this.#remember(attachment)
      return { id, name, size, mime }
    })
  }

  #remember(attachment: Attachment): RemoteFile {
    const file = remoteFile(attachment)
    // The first sender of an id has it: a later message cannot put another file in its place.
    if (!this.#attached.has(file.id)) this.#attached.set(file.id, file)
    const [oldest] = this.#attached.keys()
    if (this.#attached.size > remembered && oldest !== undefined) this.#attached.delete(oldest)
    return file
  }

  /** A file of that id: attached to a message this session received, or shared with the mesh. Throws `not_found`. */
  async find(id: string): Promise<RemoteFile> {
    const attached = this.#attached.get(id as FileId)
    if (attached) return attached
    for await (const { shared, file } of this.#shared.newest()) if (shared.id === id) return file
    throw new MeshError('not_found', `there is no file ${JSON.stringify(id)} for you: it was deleted, has expired, or was not meant for this session`)
  }

  /** Shares a file with the whole mesh, now and later members, until it is deleted. */
  async share(source: FileSource, { name, tags = [], progress }: ShareOptions = {}): Promise<AttachedFile> {
    const checked = checkedTags(tags)
    const file = await upload(this.#kernel, this.#wire, source, { kind: 'shared', progress })
    const shown = name === undefined ? file.name : safeFileName(name)
    const { record } = await this.#kernel.records.seal('file', file.id, { ...file, name: shown, tags: checked, ts: this.#kernel.options.clock.now() })
    await this.#finish({ fileId: file.id, record })
    return { id: file.id, name: shown, size: file.size, mime: file.mime }
  }

  /** The files shared with the mesh, newest first: by words of name and tags, and by who shared them. What does not verify is not among them. */
  async list({ query = '', from, limit = Infinity, cursor }: FileQuery = {}): Promise<FileList> {
    const words = foldName(query)
      .split(' ')
      .filter((word) => word !== '')
    const by = from === undefined ? undefined : foldName(from)
    const files: SharedFile[] = []
    let last = 0
    for await (const { shared, place } of this.#shared.newest(cursor === undefined ? undefined : Number(cursor))) {
      if (!matches(shared, words, by)) continue
      if (files.length === limit) return { files, next: String(last) }
      files.push(shared)
      last = place
    }
    return { files }
  }

  /** Fetches a file into a part, verified; what a cut download left there counts. Throws `file_damaged`: then nothing of it may be kept. */
  async download(file: RemoteFile, part: FilePart, progress?: Progress): Promise<void> {
    await download(this.#kernel, this.#wire, file, part, progress)
    // Only what is whole here may be removed there.
    await this.#kernel.calls.files.received({ fileId: file.id }).catch(() => {})
  }

  /** Who downloaded a file, and of an attachment's recipients also who did not. Throws `not_found`. */
  async status(id: string): Promise<FileReader[]> {
    const { readers } = await this.#kernel.calls.files.status({ fileId: fileIdOf(id) })
    return readers.map(({ sessionPubkey, name, readAt }) => {
      const believed = this.#kernel.roster.believed(sessionPubkey)
      const shown = { name: believed?.presence.name ?? name, verified: believed !== undefined }
      return { session: sessionPubkey, ...shown, ...(readAt === undefined ? {} : { readAt }) }
    })
  }

  /** Asked again when the line was cut: finishing twice changes nothing, and the bytes are there. */
  async #finish(input: Input<typeof contract.files.finish>): Promise<void> {
    await goingOn(
      this.#kernel,
      () => 0,
      () => this.#kernel.calls.files.finish(input),
    )
  }

  /** Deletes a file of this member, or as an admin any. Throws `forbidden` or `not_found`. */
  async delete(id: string): Promise<void> {
    await this.#kernel.calls.files.delete({ fileId: fileIdOf(id) })
  }
}

function remoteFile({ id, name, size, mime, key, sha256 }: Attachment): RemoteFile {
  return { id, name: safeFileName(name), size, mime, key: fromB64u(key, 32), sha256 }
}

function fileIdOf(text: string): FileId {
  if (!/^f_[a-z2-7]{26}$/.test(text)) throw new MeshError('not_found', `${JSON.stringify(text)} is not the id of a file; list_files shows them`)
  return text as FileId
}

/** Keys one behind the other, as frames carry them. */
function packed(keys: readonly RecipientPubkey[]): string {
  const bytes = new Uint8Array(keys.length * 32)
  keys.forEach((key, i) => bytes.set(fromB64u(key, 32), i * 32))
  return toB64u(bytes)
}
