import { MeshError, type FileId } from '@claudemesh/protocol'
import { ByteQueue } from './byte-queue.ts'
import { WholeChunks, type ChunkCipher } from './chunk-cipher.ts'
import { concat, encodeText, same, sodium } from './sodium.ts'

/** Plain bytes of a chunk; the last one may have fewer. */
const chunkPlain = 65_536
const overhead = 17
const final = 3
const chunkSealed = chunkPlain + overhead
const magic = encodeText('CMF1')

/** Bytes before the first chunk: `CMF1` and the header of the stream. */
export const fileHead = magic.length + 24

/** What one file is sealed with: made new for each upload, and never used for other bytes. */
export interface FileKey {
  readonly id: FileId
  /** 32 bytes. */
  readonly key: Uint8Array
}

/** A file that sealed stream and its size tell all about. */
export interface SealedFile extends FileKey {
  /** Plain bytes. */
  readonly size: number
}

const chunksOf = (size: number): number => Math.max(1, Math.ceil(size / chunkPlain))

/** Bytes of the object for this many plain bytes. */
export const objectSize = (size: number): number => fileHead + size + overhead * chunksOf(size)

/** Where a cut download of a file of `size` goes on: behind the whole chunks of the plain bytes that are there, before the last one. */
export function resumePoint(plain: number, size: number): { plain: number; object: number } {
  const chunks = Math.min(Math.floor(plain / chunkPlain), chunksOf(size) - 1)
  return { plain: chunks * chunkPlain, object: fileHead + chunks * chunkSealed }
}

/** The chunks of one file in order, sealed or opened one by one. Both directions leave it in the same state, so that a cut one is taken up by sealing again what is there. */
export class FileStream {
  /** `CMF1 ‖ header`, the beginning of the object. */
  readonly head: Uint8Array
  readonly #state: number
  readonly #id: Uint8Array
  readonly #chunks: WholeChunks | undefined

  private constructor({ id, key }: FileKey, header: Uint8Array, cipher: ChunkCipher | undefined) {
    // The pull side takes the header from us; the push side would draw it from a slow source of its own. Their states are the same.
    this.#state = sodium.crypto_secretstream_xchacha20poly1305_init_pull(header, key) as unknown as number
    this.#id = encodeText(id)
    this.#chunks = cipher && new WholeChunks(cipher, this.#state, this.#id, chunkPlain)
    this.head = concat(magic, header)
  }

  /** A stream for sealing; the header is 24 random bytes. */
  static start(file: FileKey, header: Uint8Array, cipher?: ChunkCipher): FileStream {
    return new FileStream(file, header, cipher)
  }

  /** The stream of an object that begins with `head`. Throws `file_damaged` when that is no head. */
  static of(file: FileKey, head: Uint8Array, cipher?: ChunkCipher): FileStream {
    if (head.length !== fileHead || !same(head.subarray(0, magic.length), magic)) throw damaged('it does not begin as an object does')
    return new FileStream(file, head.subarray(magic.length), cipher)
  }

  /** The sealed chunk, valid until the next is sealed. */
  seal(plain: Uint8Array, last: boolean): Uint8Array {
    if (this.#chunks && !last && plain.length === chunkPlain) return this.#chunks.seal(plain)
    return sodium.crypto_secretstream_xchacha20poly1305_push(this.#state as never, plain, this.#id, last ? final : 0)
  }

  /** The plain bytes of the next chunk, valid until the one after is opened. Throws `file_damaged` unless it is the next one, unchanged, and the last one exactly when it should be. */
  open(sealed: Uint8Array, last: boolean): Uint8Array {
    if (sealed.length < overhead) throw damaged('it is cut short')
    const opened = this.#open(sealed, last)
    if (!opened) throw damaged('a part was changed or is not in its place')
    if (opened.tag !== (last ? final : 0)) throw damaged(last ? 'its end is missing' : 'it ends early')
    return opened.message
  }

  #open(sealed: Uint8Array, last: boolean): { message: Uint8Array; tag: number } | undefined {
    if (this.#chunks && !last && sealed.length === chunkSealed) return this.#chunks.open(sealed)
    return sodium.crypto_secretstream_xchacha20poly1305_pull(this.#state as never, sealed, this.#id) || undefined
  }
}

/** The object of a file, in pieces, each valid until the next is asked for. Throws `file_refused` unless the source has exactly `size` bytes. */
export async function* sealFile(
  file: SealedFile,
  header: Uint8Array,
  plain: AsyncIterable<Uint8Array>,
  cipher?: ChunkCipher,
): AsyncGenerator<Uint8Array, void> {
  const stream = FileStream.start(file, header, cipher)
  yield stream.head
  const queue = new ByteQueue(chunkSealed)
  let left = file.size
  for await (const piece of plain) {
    queue.push(piece)
    if (queue.length > left) throw new MeshError('file_refused', 'the file grew while it was read')
    while (queue.length >= chunkPlain && left > chunkPlain) {
      left -= chunkPlain
      yield stream.seal(queue.take(chunkPlain), false)
    }
    queue.keep()
  }
  if (queue.length !== left) throw new MeshError('file_refused', 'the file shrank while it was read')
  yield stream.seal(queue.take(left), true)
}

export interface OpenFileOptions {
  /** The object goes on behind so many plain bytes, which the stream has seen. */
  readonly after?: { readonly stream: FileStream; readonly plain: number }
  readonly cipher?: ChunkCipher | undefined
}

/** The plain bytes of an object, each chunk only after it verified, and valid until the next is asked for. Throws `file_damaged` unless it is exactly the object of this file. */
export async function* openFile(
  file: SealedFile,
  object: AsyncIterable<Uint8Array>,
  { after, cipher }: OpenFileOptions = {},
): AsyncGenerator<Uint8Array, void> {
  const queue = new ByteQueue(chunkSealed)
  let stream = after?.stream
  let left = file.size - (after?.plain ?? 0)
  let done = false
  for await (const piece of object) {
    queue.push(piece)
    if (!stream) {
      if (queue.length < fileHead) {
        queue.keep()
        continue
      }
      stream = FileStream.of(file, queue.take(fileHead), cipher)
    }
    for (let size = Math.min(left, chunkPlain); !done && queue.length >= size + overhead; size = Math.min(left, chunkPlain)) {
      left -= size
      done = left === 0
      yield stream.open(queue.take(size + overhead), done)
    }
    if (done && queue.length > 0) throw damaged('there are bytes after its end')
    queue.keep()
  }
  if (!done) throw damaged('it is cut short')
}

const damaged = (why: string) => new MeshError('file_damaged', `the file was not kept: ${why}`)
