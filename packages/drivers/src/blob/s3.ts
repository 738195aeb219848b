import type { Blob, BlobKey } from '@claudemesh/broker/ports'
import { MeshError } from '@claudemesh/protocol'
import { filled, OneAtATime, refuseOffset, sameSize, within } from './body.ts'
import { bucketOf, placeOf } from './place.ts'
import { connectS3, ifThere, onS3, type Part, type S3Client } from './s3-client.ts'
import { sweepBuckets } from './s3-sweep.ts'

const MiB = 1024 * 1024

/** Objects on an S3 server, a bucket per mesh. Nothing is asked of the server before the first use. */
export function openS3(address: string): Blob {
  const { client, close } = connectS3(address)
  return new S3(client, close)
}

class S3 implements Blob {
  readonly #client: S3Client
  readonly #close: () => void
  readonly #buckets = new Map<string, Promise<void>>()
  readonly #uploads = new OneAtATime()

  constructor(client: S3Client, close: () => void) {
    this.#client = client
    this.#close = close
  }

  async upload(key: BlobKey, size: number): Promise<number> {
    const [bucket, object] = placesOf(key)
    return onS3(async () => {
      const finished = await this.#size(bucket, object)
      if (finished !== undefined) return sameSize(finished, size)
      await this.#bucket(bucket)
      const parts = await this.#parts(bucket, object)
      const begun = bytesOf(parts ?? [])
      if (begun > size) throw new MeshError('upload_incomplete', `the upload under way has ${begun} bytes already`)
      if (!parts && size > 0) await this.#client.initiateNewMultipartUpload(bucket, object, {})
      return safeOf(parts ?? [], size)
    })
  }

  append(key: BlobKey, size: number, offset: number, body: AsyncIterable<Uint8Array>): Promise<number> {
    const [bucket, object] = placesOf(key)
    return this.#uploads.run(`${bucket}/${object}`, async () => {
      const finished = await onS3(() => this.#size(bucket, object))
      const parts = finished === undefined ? await onS3(() => this.#parts(bucket, object)) : []
      let safe = finished ?? safeOf(parts ?? [], size)
      refuseOffset(offset, safe)
      if (finished !== undefined || offset === size) return safe
      const upload = await onS3(() => this.#begun(bucket, object))
      const buffer = Buffer.allocUnsafe(Math.min(partSize(size), size - offset))
      for await (const piece of filled(buffer, within(size - offset, body))) {
        // A short part may only be the last one, so that a broken upload goes on at a multiple of the part size.
        if (piece.length < partSize(size) && safe + piece.length < size) break
        await onS3(() => this.#put(bucket, object, upload, 1 + safe / partSize(size), piece))
        safe += piece.length
      }
      return safe
    })
  }

  async finish(key: BlobKey, size: number): Promise<void> {
    const [bucket, object] = placesOf(key)
    await onS3(async () => {
      const finished = await this.#size(bucket, object)
      if (finished !== undefined) return sameSize(finished, size)
      const upload = await ifThere(() => this.#client.findUploadId(bucket, object))
      const parts = upload === undefined ? [] : await this.#client.partsOf(bucket, object, upload)
      if (bytesOf(parts) !== size || safeOf(parts, size) !== size) {
        throw new MeshError('upload_incomplete', `${safeOf(parts, size)} of ${size} bytes have arrived`)
      }
      if (size === 0) await this.#client.putObject(bucket, object, Buffer.alloc(0))
      else await this.#client.completeMultipartUpload(bucket, object, upload ?? '', parts)
      return size
    })
  }

  async read(key: BlobKey, from = 0): Promise<{ size: number; body: AsyncIterable<Uint8Array> } | undefined> {
    const [bucket, object] = placesOf(key)
    const size = await onS3(() => this.#size(bucket, object))
    // Asked for when the first byte is: a body nobody reads holds nothing.
    return size === undefined ? undefined : { size, body: this.#read(bucket, object, from, size) }
  }

  async remove(key: BlobKey): Promise<void> {
    const [bucket, object] = placesOf(key)
    await onS3(async () => {
      await ifThere(() => this.#client.removeObject(bucket, object))
      for (;;) {
        const upload = await ifThere(() => this.#client.findUploadId(bucket, object))
        if (upload === undefined) return
        await ifThere(() => this.#client.abortMultipartUpload(bucket, object, upload))
      }
    })
  }

  async sweep(before: number): Promise<void> {
    await onS3(() => sweepBuckets(this.#client, before))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#close()
  }

  async #size(bucket: string, object: string): Promise<number | undefined> {
    return (await ifThere(() => this.#client.statObject(bucket, object)))?.size
  }

  /** What is there of the upload under way; undefined without one. */
  async #parts(bucket: string, object: string): Promise<Part[] | undefined> {
    const upload = await ifThere(() => this.#client.findUploadId(bucket, object))
    return upload === undefined ? undefined : ifThere(() => this.#client.partsOf(bucket, object, upload))
  }

  async #begun(bucket: string, object: string): Promise<string> {
    await this.#bucket(bucket)
    return (await this.#client.findUploadId(bucket, object)) ?? this.#client.initiateNewMultipartUpload(bucket, object, {})
  }

  async #put(bucketName: string, objectName: string, uploadID: string, partNumber: number, piece: Buffer): Promise<void> {
    await this.#client.uploadPart({ bucketName, objectName, uploadID, partNumber, headers: { 'Content-Length': piece.length } }, piece)
  }

  /** Makes a mesh's bucket at its first use, and has it forget what is ephemeral after a day. */
  async #bucket(name: string): Promise<void> {
    const made = this.#buckets.get(name) ?? this.#make(name)
    this.#buckets.set(name, made)
    try {
      await made
    } catch (error) {
      this.#buckets.delete(name)
      throw error
    }
  }

  async #make(name: string): Promise<void> {
    if (!(await this.#client.bucketExists(name))) {
      await this.#client.makeBucket(name).catch(async (error: unknown) => {
        // Another broker was faster.
        if (!(await this.#client.bucketExists(name))) throw error
      })
    }
    const rule = { ID: 'ephemeral', Status: 'Enabled', Filter: { Prefix: 'ephemeral/' }, Expiration: { Days: 1 } }
    await this.#client.setBucketLifecycle(name, { Rule: [rule] })
  }

  async *#read(bucket: string, object: string, from: number, size: number): AsyncGenerator<Uint8Array> {
    if (from >= size) return
    const stream = await onS3(() => this.#client.getPartialObject(bucket, object, from))
    let left = size - from
    try {
      const chunks = stream.iterator() as AsyncIterableIterator<Buffer>
      for (;;) {
        const next = await onS3(() => chunks.next())
        if (next.done) break
        left -= next.value.length
        yield next.value
      }
    } finally {
      stream.destroy()
    }
    if (left !== 0) throw new MeshError('storage_unavailable', 'the stored object is shorter than it was')
  }
}

function placesOf(key: BlobKey): [bucket: string, object: string] {
  return [bucketOf(key.mesh), placeOf(key)]
}

/** S3 takes parts of 5 MiB and more, at most 10,000 of them. */
function partSize(size: number): number {
  return Math.max(8, Math.ceil(size / 10_000 / MiB)) * MiB
}

function bytesOf(parts: readonly Part[]): number {
  return parts.reduce((sum, part) => sum + part.size, 0)
}

/** How far the parts reach without a gap, each as long as it must be. */
function safeOf(parts: readonly Part[], size: number): number {
  let safe = 0
  for (const [index, { part, size: length }] of parts.entries()) {
    if (part !== index + 1 || length !== Math.min(partSize(size), size - safe)) break
    safe += length
  }
  return safe
}
