import { constants } from 'node:fs'
import { open, type FileHandle } from 'node:fs/promises'
import { MeshError, readAhead, WriteBehind } from '@claudemesh/protocol'
import type { FilePart } from '../files/types.ts'

const { O_RDWR, O_CREAT, O_EXCL, O_NOFOLLOW } = constants
const readSize = 1024 * 1024
const writeSize = 1024 * 1024

/** A download under way beside its destination: made new, or one of ours that was cut. Throws `file_refused` when something else is in its place. */
export class LocalPart implements FilePart, AsyncDisposable {
  readonly #file: FileHandle
  readonly #behind = new WriteBehind(writeSize, (bytes) => this.#write(bytes))
  #position = 0

  private constructor(file: FileHandle) {
    this.#file = file
  }

  static async open(path: string): Promise<LocalPart> {
    const fresh = await open(path, O_RDWR | O_CREAT | O_EXCL | (O_NOFOLLOW ?? 0), 0o600).catch(whenThere)
    if (fresh) return new LocalPart(fresh)
    const file = await open(path, O_RDWR | (O_NOFOLLOW ?? 0)).catch((error: unknown) => {
      throw inTheWay(path, error)
    })
    const stats = await file.stat()
    // A second name of it would let somebody write into what we verify.
    if (stats.isFile() && stats.nlink === 1 && isOurs(stats.uid)) return new LocalPart(file)
    await file.close()
    throw inTheWay(path)
  }

  async size(): Promise<number> {
    await this.#behind.flush()
    return (await this.#file.stat()).size
  }

  async *read(): AsyncGenerator<Uint8Array, void> {
    await this.#behind.flush()
    yield* readAhead(readSize, 0, async (into, position) => (await this.#file.read(into, 0, into.length, position)).bytesRead)
  }

  async truncate(size: number): Promise<void> {
    await this.#behind.flush()
    await this.#file.truncate(size)
    this.#position = size
  }

  async append(bytes: Uint8Array): Promise<void> {
    await this.#behind.push(bytes)
  }

  async sync(): Promise<void> {
    await this.#behind.flush()
    await this.#file.sync()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      // What came before a cut is worth keeping; what fails here has failed in `size` or `sync`, or is fetched again.
      await this.#behind.flush().catch(() => {})
    } finally {
      await this.#file.close()
    }
  }

  async #write(bytes: Uint8Array): Promise<void> {
    for (let done = 0; done < bytes.length;) {
      const { bytesWritten } = await this.#file.write(bytes, done, bytes.length - done, this.#position)
      done += bytesWritten
      this.#position += bytesWritten
    }
  }
}

function whenThere(error: unknown): undefined {
  if ((error as NodeJS.ErrnoException).code === 'EEXIST') return undefined
  throw error
}

const isOurs = (uid: number) => process.getuid === undefined || process.getuid() === uid
const inTheWay = (path: string, cause?: unknown) => new MeshError('file_refused', `${path} is in the way: remove it`, { cause })
