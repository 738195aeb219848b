import { constants, type BigIntStats } from 'node:fs'
import { open, realpath, type FileHandle } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { MeshError, readAhead } from '@claudemesh/protocol'
import type { FileSource } from '../files/types.ts'
import { mimeOf } from './mime.ts'
import { secretReason, type SecretPlaces } from './secrets.ts'

const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants
const readSize = 256 * 1024

/** Opens a file for sharing: a regular one, no link, and unless forced none that looks like a secret. Throws `file_refused` or `not_found`. */
export async function openSource(path: string, places: SecretPlaces & { readonly force: boolean }): Promise<FileSource> {
  const real = await realPlace(path)
  const reason = secretReason(real, places)
  if (reason !== undefined && !places.force) throw new MeshError('file_refused', `${path} is not shared: ${reason}`)
  // Without blocking, because a pipe would wait for a writer.
  const file = await open(real, O_RDONLY | (O_NOFOLLOW ?? 0) | (O_NONBLOCK ?? 0)).catch((error: unknown) => {
    throw unreadable(path, error)
  })
  try {
    const stats = await file.stat({ bigint: true })
    if (!stats.isFile()) throw new MeshError('file_refused', `${path} is not a regular file`)
    return new LocalSource(file, basename(real), stats)
  } catch (error) {
    await file.close()
    throw error
  }
}

/** The path without links but for its last part, which must not be one. */
async function realPlace(path: string): Promise<string> {
  try {
    return join(await realpath(dirname(path)), basename(path))
  } catch (error) {
    throw unreadable(path, error)
  }
}

function unreadable(path: string, error: unknown): MeshError {
  const { code } = error as NodeJS.ErrnoException
  if (code === 'ENOENT' || code === 'ENOTDIR') return new MeshError('not_found', `there is no file ${path}`)
  if (code === 'ELOOP' || code === 'EMLINK') return new MeshError('file_refused', `${path} is a symbolic link; name the file itself`)
  return new MeshError('file_refused', `${path} cannot be read: ${code ?? String(error)}`)
}

class LocalSource implements FileSource {
  readonly name: string
  readonly size: number
  readonly mime: string
  readonly #file: FileHandle
  readonly #stats: BigIntStats

  constructor(file: FileHandle, name: string, stats: BigIntStats) {
    this.#file = file
    this.#stats = stats
    this.name = name
    this.size = Number(stats.size)
    this.mime = mimeOf(name)
  }

  bytes(): AsyncGenerator<Uint8Array, void> {
    return readAhead(readSize, 0, async (into, position) => (await this.#file.read(into, 0, into.length, position)).bytesRead)
  }

  async unchanged(): Promise<boolean> {
    const now = await this.#file.stat({ bigint: true })
    return (['dev', 'ino', 'size', 'mtimeNs', 'ctimeNs'] as const).every((field) => now[field] === this.#stats[field])
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close()
  }
}
