import type { FileId, MemberId, SessionPubkey } from '@claudemesh/protocol'

/** A file to send. */
export interface FileSource extends AsyncDisposable {
  readonly name: string
  readonly size: number
  readonly mime: string
  /** All bytes from the first; each call reads them anew. A piece is valid until the next is asked for. */
  bytes(): AsyncIterable<Uint8Array>
  /** Whether they are still the same bytes. */
  unchanged(): Promise<boolean>
}

/** Where a download is put together: what is there already counts, so that a cut one goes on. */
export interface FilePart {
  /** Bytes that are there. */
  size(): Promise<number>
  read(): AsyncIterable<Uint8Array>
  truncate(size: number): Promise<void>
  /** Takes a copy of the bytes; they may be written later. */
  append(bytes: Uint8Array): Promise<void>
  /** Resolves when all bytes are written and outlast a crash. */
  sync(): Promise<void>
}

/** Hears how many plain bytes of how many have moved. */
export type Progress = (moved: number, size: number) => void

/** A file as its sender described it, sealed: what is needed to fetch and open it. */
export interface RemoteFile {
  readonly id: FileId
  /** Made harmless: a plain file name, whatever the sender wrote. */
  readonly name: string
  readonly size: number
  readonly mime: string
  readonly key: Uint8Array
  /** Of the object. */
  readonly sha256: string
}

/** A file that is shared with the mesh, its manifest verified. */
export interface SharedFile {
  readonly id: FileId
  readonly name: string
  readonly size: number
  readonly mime: string
  readonly tags: readonly string[]
  readonly sharedAt: number
  readonly by: { readonly session: SessionPubkey; readonly name: string; readonly member: { readonly id: MemberId; readonly name: string } }
}

/** A file attached to a message, as its reader sees it. */
export type AttachedFile = Pick<RemoteFile, 'id' | 'name' | 'size' | 'mime'>

export interface FileReader {
  readonly session: SessionPubkey
  /** Of the peer's verified presence, else as the broker noted it. */
  readonly name: string
  /** Whether the name is verified. */
  readonly verified: boolean
  /** When it had downloaded the file; absent for a recipient that has not. The broker's word. */
  readonly readAt?: number
}
