import { objectSize, sealFile, toB64u } from '@claudemesh/crypto'
import { MeshError, limits, type Attachment, type FileId } from '@claudemesh/protocol'
import type { Kernel } from '../kernel.ts'
import type { Hasher } from '../transfer.ts'
import { safeFileName } from './name.ts'
import type { ObjectWire } from './object-wire.ts'
import { goingOn } from './retry.ts'
import type { FileSource, Progress } from './types.ts'

export interface UploadOptions {
  readonly kind: 'shared' | 'attachment' | 'mail'
  readonly progress?: Progress | undefined
}

const startsOver = 3

/** Seals a file and brings its object to the broker, where nobody sees it yet. A cut upload goes on; a file that changed meanwhile starts over with a key of its own. */
export async function upload(kernel: Kernel, wire: ObjectWire, source: FileSource, options: UploadOptions): Promise<Attachment> {
  if (kernel.policy.current?.allow.files === 'plain')
    throw new MeshError('wrong_form', 'the policy of this mesh wants plain files, which this client does not send')
  if (source.size > limits.file) throw new MeshError('too_large', `${source.name} has ${source.size} bytes, ${limits.file} is the limit`)
  for (let attempt = 1; ; attempt++) {
    const done = await new Upload(kernel, wire, source, options).run()
    if (done) return done
    if (attempt === startsOver) throw new MeshError('file_refused', `${source.name} changes while it is read; share a copy of it`)
  }
}

/** One upload under one key. */
class Upload {
  readonly #kernel: Kernel
  readonly #wire: ObjectWire
  readonly #source: FileSource
  readonly #options: UploadOptions
  readonly #id: FileId
  readonly #key: Uint8Array
  readonly #header: Uint8Array
  readonly #size: number
  #safe = 0

  constructor(kernel: Kernel, wire: ObjectWire, source: FileSource, options: UploadOptions) {
    this.#kernel = kernel
    this.#wire = wire
    this.#source = source
    this.#options = options
    this.#id = newFileId(kernel.random(16))
    this.#key = kernel.random(32)
    this.#header = kernel.random(24)
    this.#size = objectSize(source.size)
  }

  /** Undefined when the file is another one now. */
  async run(): Promise<Attachment | undefined> {
    const { calls } = this.#kernel
    let hasher: Hasher | undefined
    try {
      await goingOn(
        this.#kernel,
        () => this.#safe,
        async () => {
          const { offset } = await calls.files.upload({ fileId: this.#id, kind: this.#options.kind, size: this.#size })
          this.#safe = offset
          // Other bytes under the same key would give both away.
          if (hasher && !(await this.#source.unchanged())) throw new Changed()
          hasher = this.#wire.transfer.sha256()
          await this.#send(offset, hasher)
        },
      )
      if (!(await this.#source.unchanged())) throw new Changed()
    } catch (error) {
      await calls.files.delete({ fileId: this.#id }).catch(() => {})
      if (error instanceof Changed || (error instanceof MeshError && error.code === 'file_refused' && !(await this.#source.unchanged()))) return undefined
      throw error
    }
    const { name, size, mime } = this.#source
    return { id: this.#id, name: safeFileName(name), size, mime, key: toB64u(this.#key), sha256: toB64u((hasher as unknown as Hasher).digest()) }
  }

  async #send(offset: number, hasher: Hasher): Promise<void> {
    const rest = this.#size - offset
    const object = this.#object(offset, hasher)
    if (rest === 0) for await (const _ of object);
    else this.#safe = await this.#wire.put(this.#id, offset, rest, object)
    if (this.#safe < this.#size) throw new MeshError('unavailable', 'the broker took less than was sent')
  }

  /** The object behind `offset`; all of it is hashed. */
  async *#object(offset: number, hasher: Hasher): AsyncGenerator<Uint8Array, void> {
    const { size } = this.#source
    let at = 0
    const file = { id: this.#id, key: this.#key, size }
    for await (const piece of sealFile(file, this.#header, this.#source.bytes(), this.#wire.transfer.cipher)) {
      hasher.update(piece)
      at += piece.length
      if (at > offset) yield at - piece.length >= offset ? piece : piece.subarray(piece.length - (at - offset))
      this.#options.progress?.(Math.round((Math.max(at, offset) / this.#size) * size), size)
    }
  }
}

class Changed extends Error {}

const alphabet = 'abcdefghijklmnopqrstuvwxyz234567'

/** `f_` and 16 random bytes in base32. */
function newFileId(bytes: Uint8Array): FileId {
  let bits = 0n
  for (const byte of bytes) bits = (bits << 8n) | BigInt(byte)
  bits <<= 2n
  let text = ''
  for (let i = 25n; i >= 0n; i--) text += alphabet.charAt(Number((bits >> (i * 5n)) & 31n))
  return `f_${text}` as FileId
}
