import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { mkdir, rename, rm, statfs } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import type { Blob, BlobKey } from '@claudemesh/broker/ports'
import { MeshError, readAhead, WriteBehind } from '@claudemesh/protocol'
import { lockFolder } from '../store/lock.ts'
import { OneAtATime, refuseOffset, sameSize, within } from './body.ts'
import { onDisk, openFile, statFile, syncFolder, writeAll } from './disk-files.ts'
import { sweepFolder } from './disk-sweep.ts'
import { bucketOf, placeOf } from './place.ts'

const writeSize = 512 * 1024
const readSize = 256 * 1024

/** Objects as files of a folder that one process at a time may open; without a folder in a temporary one, gone at the end. */
export function openDisk(folder: string): Blob {
  if (folder === '') {
    const root = mkdtempSync(join(tmpdir(), 'claudemesh-files-'))
    return new Disk(root, () => rmSync(root, { recursive: true, force: true }))
  }
  const root = resolve(folder)
  mkdirSync(root, { recursive: true, mode: 0o700 })
  return new Disk(root, lockFolder(root))
}

class Disk implements Blob {
  readonly #root: string
  readonly #close: () => void
  readonly #uploads = new OneAtATime()

  constructor(root: string, close: () => void) {
    this.#root = root
    this.#close = close
  }

  async upload(key: BlobKey, size: number): Promise<number> {
    const { object, part } = this.#paths(key)
    return onDisk(async () => {
      const finished = await statFile(object)
      if (finished) return sameSize(finished.size, size)
      const begun = (await statFile(part))?.size ?? 0
      if (begun > size) throw new MeshError('upload_incomplete', `the upload under way has ${begun} bytes already`)
      const { bavail, bsize } = await statfs(this.#root)
      if (size - begun > bavail * bsize) throw new MeshError('storage_full')
      await using _ = await openFile(part, 'write')
      return begun
    })
  }

  append(key: BlobKey, size: number, offset: number, body: AsyncIterable<Uint8Array>): Promise<number> {
    const { object, part } = this.#paths(key)
    return this.#uploads.run(part, async () => {
      const finished = await onDisk(() => statFile(object))
      let safe = finished?.size ?? (await onDisk(() => statFile(part)))?.size ?? 0
      refuseOffset(offset, safe)
      if (finished) return safe
      await using file = await onDisk(() => openFile(part, 'write'))
      const behind = new WriteBehind(writeSize, async (bytes) => {
        await onDisk(() => writeAll(file, bytes, safe))
        safe += bytes.length
      })
      try {
        for await (const chunk of within(size - offset, body)) await behind.push(chunk)
      } finally {
        await behind.flush()
        await onDisk(() => file.datasync())
      }
      return safe
    })
  }

  async finish(key: BlobKey, size: number): Promise<void> {
    const { object, part } = this.#paths(key)
    await onDisk(async () => {
      const finished = await statFile(object)
      if (finished) {
        sameSize(finished.size, size)
        return
      }
      const safe = (await statFile(part))?.size ?? 0
      if (safe !== size) throw new MeshError('upload_incomplete', `${safe} of ${size} bytes have arrived`)
      await this.#publish(part, object)
    })
  }

  async read(key: BlobKey, from = 0): Promise<{ size: number; body: AsyncIterable<Uint8Array> } | undefined> {
    const { object } = this.#paths(key)
    const size = (await onDisk(() => statFile(object)))?.size
    // Opened when the first byte is asked for: a body nobody reads holds nothing.
    return size === undefined ? undefined : { size, body: read(object, from, size) }
  }

  async remove(key: BlobKey): Promise<void> {
    const { object, part } = this.#paths(key)
    await onDisk(async () => {
      await rm(dirname(object), { recursive: true, force: true })
      await rm(part, { force: true })
    })
  }

  async sweep(before: number): Promise<void> {
    await onDisk(() => sweepFolder(this.#root, before))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#close()
  }

  async #publish(part: string, object: string): Promise<void> {
    {
      await using file = await openFile(part, 'write')
      await file.sync()
    }
    await mkdir(dirname(object), { recursive: true, mode: 0o700 })
    await rename(part, object)
    for (const folder of [dirname(object), dirname(dirname(object)), dirname(part)]) await syncFolder(folder)
  }

  /** Uploads under way stand apart: no listing of objects ever meets half of one. */
  #paths(key: BlobKey): { object: string; part: string } {
    const bucket = join(this.#root, bucketOf(key.mesh))
    const place = placeOf(key)
    return { object: join(bucket, place), part: join(bucket, 'uploads', dirname(place).replaceAll('/', '.')) }
  }
}

async function* read(path: string, from: number, size: number): AsyncGenerator<Uint8Array> {
  if (from >= size) return
  await using file = await onDisk(() => openFile(path, 'read'))
  yield* readAhead(readSize, from, async (into, position) => {
    if (position === size) return 0
    const { bytesRead } = await onDisk(() => file.read(into, 0, Math.min(into.length, size - position), position))
    if (bytesRead === 0) throw new MeshError('storage_unavailable', 'the stored object is shorter than it was')
    return bytesRead
  })
}
