import { createHash, randomBytes } from 'node:crypto'
import { existsSync, readdirSync } from 'node:fs'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { setImmediate } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Blob, BlobKey } from '@claudemesh/broker/ports'
import type { FileId, MeshId } from '@claudemesh/protocol'

/** A kind of storage under test. */
export interface Storage extends AsyncDisposable {
  /** A driver on it; a second one, opened after the first is closed, finds what the first left. */
  open(): Promise<Blob>
  /** Bytes that are safe at once: an interrupted upload keeps a multiple of this. */
  readonly unit: number
  /** How long ago an upload that was just begun counts as left alone, in milliseconds: the clock of the storage is not ours. */
  readonly lag: number
}

const MiB = 1024 * 1024
const base32 = (bytes: Uint8Array, length: number) => Array.from(bytes.subarray(0, length), (byte) => 'abcdefghijklmnopqrstuvwxyz234567'[byte % 32]).join('')

const freshMesh = () => base32(randomBytes(32), 32) as MeshId
export const freshFile = () => `f_${base32(randomBytes(26), 26)}` as FileId
export const freshKey = (mesh = freshMesh()): BlobKey => ({ mesh, file: freshFile(), area: 'shared' })

/** `bytes` in chunks whose sizes take turns. */
export async function* chunked(bytes: Uint8Array, ...sizes: [number, ...number[]]): AsyncGenerator<Uint8Array> {
  for (let from = 0, turn = 0; from < bytes.length; turn++) {
    const length = sizes[turn % sizes.length] as number
    await setImmediate()
    yield bytes.subarray(from, from + length)
    from += length
  }
}

/** The same, cut off by an error after `count` bytes. */
async function* cutOff(bytes: Uint8Array, count: number): AsyncGenerator<Uint8Array> {
  yield* chunked(bytes.subarray(0, count), 65_536)
  throw new Error('the line is cut')
}

/** What is stored, from byte `from`; undefined when nothing is. */
export async function bytesOf(blob: Blob, key: BlobKey, from?: number): Promise<Buffer | undefined> {
  const found = await blob.read(key, from)
  if (!found) return undefined
  const chunks: Uint8Array[] = []
  for await (const chunk of found.body) chunks.push(Buffer.from(chunk))
  return Buffer.concat(chunks)
}

/** Stores a whole object. */
export async function store(blob: Blob, key: BlobKey, bytes: Uint8Array): Promise<void> {
  expect(await blob.upload(key, bytes.length)).toBe(0)
  if (bytes.length > 0) expect(await blob.append(key, bytes.length, 0, chunked(bytes, 65_536))).toBe(bytes.length)
  await blob.finish(key, bytes.length)
}

/** How many files and sockets this process holds, where the system tells. */
const handles = () => (existsSync('/proc/self/fd') ? readdirSync('/proc/self/fd').length : 0)

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

/** Memory outside of the heap that something still refers to. */
function heldBytes(): number {
  collect()
  return process.memoryUsage().external
}

const refusal = (code: string) => expect.objectContaining({ name: 'MeshError', code }) as Error

/** What the broker may rely on, whatever stands behind the port. */
export function acceptBlob(name: string, start: () => Promise<Storage>): void {
  describe(`files on ${name}`, () => {
    let storage: Storage
    let blob: Blob
    beforeAll(async () => {
      storage = await start()
      blob = await storage.open()
    }, 120_000)
    afterAll(async () => {
      await blob[Symbol.asyncDispose]()
      await storage[Symbol.asyncDispose]()
    })

    test('an object comes back as it went, whole and from any byte', async () => {
      const [key, bytes] = [freshKey(), randomBytes(150_001)]
      expect(await blob.upload(key, bytes.length)).toBe(0)
      expect(await blob.append(key, bytes.length, 0, chunked(bytes, 1, 7, 65_536))).toBe(bytes.length)
      await blob.finish(key, bytes.length)
      expect((await blob.read(key))?.size).toBe(bytes.length)
      for (const from of [undefined, 1, 65_536, 150_000]) expect((await bytesOf(blob, key, from))?.equals(bytes.subarray(from))).toBe(true)
      expect(await bytesOf(blob, key, bytes.length)).toHaveLength(0)
      expect((await blob.read(key, bytes.length))?.size).toBe(bytes.length)
    })

    test('nothing is visible before it is finished, and finishing twice is finishing once', async () => {
      const [key, bytes] = [freshKey(), randomBytes(1000)]
      await blob.upload(key, bytes.length)
      await blob.append(key, bytes.length, 0, chunked(bytes, 1000))
      expect(await blob.read(key)).toBeUndefined()
      await blob.finish(key, bytes.length)
      await blob.finish(key, bytes.length)
      expect(await blob.upload(key, bytes.length)).toBe(bytes.length)
      expect((await bytesOf(blob, key))?.equals(bytes)).toBe(true)
    })

    test('an empty object is an object', async () => {
      const key = freshKey()
      await store(blob, key, new Uint8Array(0))
      expect((await blob.read(key))?.size).toBe(0)
      expect(await bytesOf(blob, key)).toHaveLength(0)
    })

    test('an upload that breaks off goes on where it is safe, also in the next process', async () => {
      const key = freshKey()
      const bytes = randomBytes(2 * storage.unit + 12_345)
      await blob.upload(key, bytes.length)
      await expect(blob.append(key, bytes.length, 0, cutOff(bytes, storage.unit + 70_000))).rejects.toThrow('the line is cut')
      await blob[Symbol.asyncDispose]()
      blob = await storage.open()
      const safe = await blob.upload(key, bytes.length)
      expect(safe).toBeGreaterThanOrEqual(storage.unit)
      expect(safe).toBeLessThanOrEqual(storage.unit + 70_000)
      expect(await blob.append(key, bytes.length, safe, chunked(bytes.subarray(safe), 100_000))).toBe(bytes.length)
      expect(await blob.upload(key, bytes.length)).toBe(bytes.length)
      await blob.finish(key, bytes.length)
      expect((await bytesOf(blob, key))?.equals(bytes)).toBe(true)
    })

    test('bytes that do not continue the upload are refused, before and after it is finished', async () => {
      const [key, bytes] = [freshKey(), randomBytes(5000)]
      await blob.upload(key, bytes.length)
      await expect(blob.append(key, bytes.length, 1, chunked(bytes, 10))).rejects.toEqual(refusal('wrong_offset'))
      await expect(blob.append(freshKey(), bytes.length, 1, chunked(bytes, 10))).rejects.toEqual(refusal('wrong_offset'))
      expect(await blob.append(key, bytes.length, 0, chunked(bytes, 5000))).toBe(bytes.length)
      await blob.finish(key, bytes.length)
      await expect(blob.append(key, bytes.length, 0, chunked(bytes, 10))).rejects.toEqual(refusal('wrong_offset'))
      expect((await bytesOf(blob, key))?.equals(bytes)).toBe(true)
    })

    test('a declared size that lies is refused, whichever way', async () => {
      const [key, bytes] = [freshKey(), randomBytes(5000)]
      await blob.upload(key, 4000)
      await expect(blob.append(key, 4000, 0, chunked(bytes, 300))).rejects.toEqual(refusal('upload_incomplete'))
      expect(await blob.upload(key, 4000)).toBeLessThanOrEqual(4000)
      const short = freshKey()
      await blob.upload(short, 6000)
      expect(await blob.append(short, 6000, 0, chunked(bytes, 300))).toBeLessThanOrEqual(5000)
      await expect(blob.finish(short, 6000)).rejects.toEqual(refusal('upload_incomplete'))
      await expect(blob.finish(freshKey(), 6000)).rejects.toEqual(refusal('upload_incomplete'))
      expect(await blob.read(short)).toBeUndefined()
    })

    test('an object keeps its bytes when the same id comes again with another size', async () => {
      const [key, bytes] = [freshKey(), randomBytes(100)]
      await store(blob, key, bytes)
      await expect(blob.upload(key, 99)).rejects.toEqual(refusal('upload_incomplete'))
      await expect(blob.finish(key, 99)).rejects.toEqual(refusal('upload_incomplete'))
      expect((await bytesOf(blob, key))?.equals(bytes)).toBe(true)
    })

    test('two writers of one upload never mix', async () => {
      const [key, bytes] = [freshKey(), randomBytes(200_000)]
      await blob.upload(key, bytes.length)
      const both = await Promise.allSettled([1, 2].map(() => blob.append(key, bytes.length, 0, chunked(bytes, 4096))))
      expect(both).toContainEqual({ status: 'fulfilled', value: bytes.length })
      expect(both).toContainEqual({ status: 'rejected', reason: refusal('wrong_offset') })
      await blob.finish(key, bytes.length)
      expect((await bytesOf(blob, key))?.equals(bytes)).toBe(true)
    })

    test('what is removed is gone, finished or not, and may come again from the start', async () => {
      const [done, half, bytes] = [freshKey(), freshKey(), randomBytes(1000)]
      await store(blob, done, bytes)
      await blob.upload(half, 2000)
      await blob.append(half, 2000, 0, chunked(bytes, 100))
      for (const key of [done, half, freshKey()]) await blob.remove(key)
      expect(await blob.read(done)).toBeUndefined()
      expect(await blob.read(done, 10)).toBeUndefined()
      expect(await blob.upload(half, 2000)).toBe(0)
      await store(blob, done, bytes)
      expect((await bytesOf(blob, done))?.equals(bytes)).toBe(true)
    })

    test('the same file id in another mesh, area or day is another object', async () => {
      const [mesh, file] = [freshMesh(), freshFile()]
      const keys: BlobKey[] = [
        { mesh, file, area: 'shared' },
        { mesh: freshMesh(), file, area: 'shared' },
        { mesh, file, area: 'ephemeral', day: '2030-01-30' },
        { mesh, file, area: 'ephemeral', day: '2030-01-31' },
      ]
      for (const [n, key] of keys.entries()) {
        expect(await blob.read(key)).toBeUndefined()
        await store(blob, key, Buffer.from([n]))
      }
      for (const [n, key] of keys.entries()) expect(await bytesOf(blob, key)).toEqual(Buffer.from([n]))
    })

    test('ids that are no ids name nothing', async () => {
      const key = freshKey()
      for (const file of ['../x', 'f_', `f_${'a'.repeat(25)}/`, `${key.file}/..`, '']) {
        await expect(async () => blob.upload({ ...key, file: file as FileId }, 1)).rejects.toThrow('not the form of a file')
      }
      await expect(async () => blob.read({ ...key, mesh: '../../etc' as MeshId })).rejects.toThrow('not the form of a mesh')
      await expect(async () => blob.remove({ ...key, area: 'ephemeral', day: '..' })).rejects.toThrow('not the form of a day')
    })

    test('sweeping takes uploads left alone and days gone by, and nothing else', async () => {
      const mesh = freshMesh()
      const shared = freshKey(mesh)
      const [past, present] = (['2030-01-30', '2030-01-31'] as const).map((day): BlobKey => ({ mesh, file: freshFile(), area: 'ephemeral', day }))
      const bytes = randomBytes(1000)
      for (const key of [shared, past, present]) if (key) await store(blob, key, bytes)
      const begun = freshKey(mesh)
      const half = randomBytes(storage.unit + 1)
      await blob.upload(begun, half.length)
      await blob.append(begun, half.length, 0, chunked(half.subarray(0, storage.unit), 65_536))
      await blob.sweep(Date.now() - storage.lag)
      expect(await blob.upload(begun, half.length)).toBe(storage.unit)
      await blob.sweep(Date.parse('2030-01-31T00:00:00Z'))
      expect(await blob.upload(begun, half.length)).toBe(0)
      expect(await blob.read(past as BlobKey)).toBeUndefined()
      for (const key of [shared, present]) expect(await bytesOf(blob, key as BlobKey)).toHaveLength(1000)
    })

    test('a reader that stops early holds nothing', async () => {
      const [key, bytes] = [freshKey(), randomBytes(3 * MiB)]
      await store(blob, key, bytes)
      const before = handles()
      for (let n = 0; n < 300; n++) {
        const found = await blob.read(key, n)
        // Half of the readers never begin.
        if (n % 2 === 0) for await (const chunk of found?.body ?? []) if (chunk.length > 0) break
      }
      expect(handles() - before).toBeLessThan(20)
      await blob.remove(key)
      expect(await blob.read(key)).toBeUndefined()
    })

    test('a quarter of a GiB goes up and down, and little of it is held at any time', async () => {
      const [key, size] = [freshKey(), 256 * MiB]
      const piece = randomBytes(65_536)
      const sent = createHash('sha256')
      const received = createHash('sha256')
      async function* body() {
        for (let n = 0; n < size / piece.length; n++) {
          piece.writeUInt32LE(n)
          sent.update(piece)
          yield Buffer.from(piece)
        }
      }
      const before = heldBytes()
      let [moved, most] = [0, 0]
      await blob.upload(key, size)
      expect(await blob.append(key, size, 0, watched(body()))).toBe(size)
      await blob.finish(key, size)
      const found = await blob.read(key)
      for await (const chunk of watched(found?.body ?? Promise.reject<AsyncIterable<Uint8Array>>(new Error('not stored')))) received.update(chunk)
      expect(received.digest('hex')).toBe(sent.digest('hex'))
      expect((most - before) / MiB).toBeLessThan(32)
      await blob.remove(key)

      async function* watched(chunks: AsyncIterable<Uint8Array> | Promise<AsyncIterable<Uint8Array>>) {
        for await (const chunk of await chunks) {
          moved += chunk.length
          if (moved % (16 * MiB) < chunk.length) most = Math.max(most, heldBytes())
          yield chunk
        }
      }
    })
  })
}
