import { randomBytes } from 'node:crypto'
import { createServer } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { Client } from 'minio'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openBlob } from '@claudemesh/drivers'
import { canStartS3, startS3, type S3Server } from '../harness/s3.ts'
import { verifies } from '../harness/verifies.ts'
import { acceptBlob, bytesOf, chunked, freshFile, freshKey, store } from './blob-acceptance.ts'

const unit = 8 * 1024 * 1024

// Any server may be given. A build machine has to have one; elsewhere the rest of this file does without.
const given = process.env['S3_URL']
if (given !== undefined || canStartS3() || process.env['CI']) {
  describe('with a server', () => {
    let server: S3Server | undefined
    let url: string
    beforeAll(async () => {
      server = given === undefined ? await startS3() : undefined
      url = given ?? (server as S3Server).url
    }, 120_000)
    afterAll(() => server?.[Symbol.asyncDispose]())

    acceptBlob('S3', async () => ({ open: () => openBlob(url), unit, lag: 60_000, [Symbol.asyncDispose]: async () => {} }))

    describe('files on S3', () => {
      /** The vendor's own view of the server. */
      const beside = () => {
        const { hostname, port, username, password, searchParams } = new URL(url)
        return new Client({
          endPoint: hostname,
          port: Number(port),
          useSSL: searchParams.get('tls') !== 'false',
          accessKey: decodeURIComponent(username),
          secretKey: decodeURIComponent(password),
        })
      }

      test('a mesh has a bucket of its own, which forgets what is ephemeral after a day and shows nothing to strangers', async () => {
        verifies('storage.bucket-per-mesh', 'storage.ephemeral-lifecycle')
        await using blob = await openBlob(url)
        const key = freshKey()
        await store(blob, key, randomBytes(10))
        const bucket = `mesh-${key.mesh}`
        await store(blob, { ...key, area: 'ephemeral', day: '2099-01-31' }, randomBytes(20))
        expect((await beside().statObject(bucket, `shared/${key.file}/object`)).size).toBe(10)
        expect((await beside().statObject(bucket, `ephemeral/2099-01-31/${key.file}/object`)).size).toBe(20)
        expect(await beside().getBucketLifecycle(bucket)).toMatchObject({
          Rule: { Status: 'Enabled', Filter: { Prefix: 'ephemeral/' }, Expiration: { Days: 1 } },
        })
        const { host, searchParams } = new URL(url)
        const origin = `${searchParams.get('tls') === 'false' ? 'http' : 'https'}://${host}`
        for (const path of [bucket, `${bucket}/shared/${key.file}/object`]) expect((await fetch(`${origin}/${path}`)).status).toBe(403)
      })

      test('a day may hold many objects; all of them go with it', async () => {
        await using blob = await openBlob(url)
        const { mesh } = freshKey()
        const keys = Array.from({ length: 20 }, () => ({ mesh, file: freshFile(), area: 'ephemeral', day: '2030-01-30' }) as const)
        for (const key of keys) await store(blob, key, randomBytes(1))
        await blob.sweep(Date.parse('2030-01-31T00:00:00Z'))
        for (const key of keys) expect(await blob.read(key)).toBeUndefined()
      })

      test('wrong keys are refused by name, and told to nobody', async () => {
        const wrong = new URL(url)
        wrong.password = 'hunter2hunter2'
        const stranger = new URL(url)
        stranger.username = 'nosuchkey'
        for (const address of [wrong, stranger]) {
          await using blob = await openBlob(address.href)
          const attempts = [() => blob.upload(freshKey(), 1), () => blob.sweep(0), () => blob.remove(freshKey()), () => blob.read(freshKey())]
          for (const attempt of attempts) {
            const error: unknown = await attempt().catch((reason: unknown) => reason)
            expect(error).toMatchObject({ code: 'storage_unavailable', message: expect.stringMatching(/refuses its credentials/) as string })
            expect(secretsIn(error)).toEqual([])
          }
        }
      })

      if (given === undefined) {
        test('a server that dies in the middle of an upload is named, and the upload goes on when it is back', async () => {
          await using blob = await openBlob(url)
          const [key, bytes] = [freshKey(), randomBytes(3 * unit)]
          await blob.upload(key, bytes.length)
          async function* body() {
            yield* chunked(bytes.subarray(0, 2 * unit), 1024 * 1024)
            await server?.kill()
            yield* chunked(bytes.subarray(2 * unit), 1024 * 1024)
          }
          const refused = { code: 'storage_unavailable', message: expect.stringMatching(/does not answer/) as string }
          await expect(blob.append(key, bytes.length, 0, body())).rejects.toMatchObject(refused)
          const down = [blob.upload(key, bytes.length), blob.finish(key, bytes.length), blob.read(key), blob.remove(key), blob.sweep(0)]
          for (const attempt of await Promise.allSettled(down)) expect(attempt).toMatchObject({ status: 'rejected', reason: refused })
          await server?.restart()
          expect(await blob.upload(key, bytes.length)).toBe(2 * unit)
          await blob.append(key, bytes.length, 2 * unit, chunked(bytes.subarray(2 * unit), 1024 * 1024))
          await blob.finish(key, bytes.length)
          expect((await bytesOf(blob, key))?.equals(bytes)).toBe(true)
        })

        test('a server that dies in the middle of a download ends it with an error, never with less', async () => {
          await using blob = await openBlob(url)
          const [key, bytes] = [freshKey(), randomBytes(3 * unit)]
          await blob.upload(key, bytes.length)
          await blob.append(key, bytes.length, 0, chunked(bytes, 1024 * 1024))
          await blob.finish(key, bytes.length)
          const found = await blob.read(key)
          let received = 0
          await expect(async () => {
            for await (const chunk of found?.body ?? []) {
              if (received === 0) await server?.kill()
              received += chunk.length
            }
          }).rejects.toMatchObject({ code: 'storage_unavailable' })
          expect(received).toBeLessThan(bytes.length)
          await server?.restart()
          expect((await bytesOf(blob, key, received))?.equals(bytes.subarray(received))).toBe(true)
        })
      }
    })
  })
}

describe('without a server', () => {
  test.each([
    's3://',
    's3://host:9000',
    's3://key@host:9000',
    's3://key:hunter2hunter2@host:9000/bucket',
    's3://key:hunter2hunter2@host:9000?tls=perhaps',
    's3://key:hunter2hunter2@host:9000?tsl=false',
    's3://key:hunter2hunter2@host:port',
  ])('%s is no address, and is not repeated', async (address) => {
    const error: unknown = await openBlob(address).catch((reason: unknown) => reason)
    expect(error).toMatchObject({ message: 'file storage on S3 needs an address like s3://KEY:SECRET@host:9000?tls=false&region=us-east-1' })
    expect(secretsIn(error)).toEqual([])
  })

  test.each([
    [507, 'InsufficientStorage', 'storage_full'],
    [403, 'QuotaExceeded', 'storage_full'],
    [503, 'SlowDown', 'storage_unavailable'],
    [500, 'InternalError', 'storage_unavailable'],
    [403, 'SignatureDoesNotMatch', 'storage_unavailable'],
  ])('an answer of %i %s is %s', async (status, code, name) => {
    const told = `<Error><Code>${code}</Code><StringToSign>hunter2hunter2</StringToSign><AWSAccessKeyId>hunter2hunter2</AWSAccessKeyId></Error>`
    await using server = await answering((_, respond) => respond(status, told))
    await using blob = await openBlob(`s3://key:hunter2hunter2@127.0.0.1:${server.port}?tls=false`)
    const error: unknown = await blob.sweep(0).catch((reason: unknown) => reason)
    expect(error).toMatchObject({ name: 'MeshError', code: name })
    expect(secretsIn(error)).toEqual([])
  })

  test('an object cut short by the server ends in an error, never in less', async () => {
    await using server = await answering((method, respond) => respond(200, method === 'HEAD' ? 1000 : 'x'.repeat(400)))
    await using blob = await openBlob(`s3://key:secretsecret@127.0.0.1:${server.port}?tls=false`)
    await expect(bytesOf(blob, freshKey())).rejects.toMatchObject({ code: 'storage_unavailable', message: 'the stored object is shorter than it was' })
  })
})

/** Where something that is thrown, or its causes, holds the secret of these tests. */
function secretsIn(error: unknown): string[] {
  const words: string[] = []
  for (let one = error; one instanceof Error; one = one.cause) {
    words.push(one.message, one.stack ?? '', JSON.stringify({ ...one }))
  }
  return words.filter((text) => text.includes('hunter2'))
}

/** A server that answers what it is told to: the answers of a real one that cannot be brought about. */
async function answering(
  answer: (method: string, respond: (status: number, body: string | number) => void) => void,
): Promise<AsyncDisposable & { port: number }> {
  const server = createServer((request, response) => {
    answer(request.method ?? '', (status, body) => {
      response.writeHead(status, { 'content-length': typeof body === 'number' ? body : body.length, etag: '"0"', 'last-modified': new Date(0).toUTCString() })
      response.end(typeof body === 'number' ? '' : body)
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}
