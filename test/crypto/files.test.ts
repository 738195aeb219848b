import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { fileHead, FileStream, objectSize, openFile, ready, resumePoint, sealFile, type SealedFile } from '@claudemesh/crypto'
import { MeshError, type ErrorCode, type FileId } from '@claudemesh/protocol'
import * as fc from 'fast-check'
import { beforeAll, describe, expect, test } from 'vitest'
import { nodeCipher } from '../../packages/client/src/node/chunk-cipher.ts'
import { fileSizes, type makeFileVectors } from '../../packages/crypto/generate/files.ts'
import * as second from './second-files.ts'

const vectors = JSON.parse(readFileSync(new URL('../../packages/crypto/vectors/cm1.json', import.meta.url), 'utf8')) as {
  files: ReturnType<typeof makeFileVectors>
}
const bin = (hex: string) => new Uint8Array(Buffer.from(hex, 'hex'))
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('base64url')
const chunk = 65_536
const sealedChunk = chunk + 17

beforeAll(ready)

const id = 'f_aaaaaaaaaaaaaaaaaaaaaaaaaa' as FileId
const key = new Uint8Array(32).fill(5)
const header = new Uint8Array(24).fill(6)
const fileOf = (size: number, other: Partial<SealedFile> = {}): SealedFile => ({ id, key, size, ...other })
const contentOf = (size: number) => Uint8Array.from({ length: size }, (_, i) => (i * 31 + (i >> 8)) & 255)

async function* piecesOf(bytes: Uint8Array, size = 10_007): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}

async function all(source: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = []
  for await (const part of source) parts.push(Uint8Array.from(part))
  return new Uint8Array(Buffer.concat(parts))
}

async function refuses(code: ErrorCode, says: RegExp, act: () => Promise<unknown>): Promise<void> {
  const outcome = await act().catch((error: unknown) => error)
  expect(outcome).toBeInstanceOf(MeshError)
  expect(outcome).toMatchObject({ code, message: expect.stringMatching(says) })
}

describe.each([
  ['libsodium', undefined],
  ['OpenSSL', nodeCipher],
] as const)('by %s', (_way, cipher) => {
  const seal = (plain: Uint8Array, file = fileOf(plain.length)) => all(sealFile(file, header, piecesOf(plain), cipher))
  const open = (object: Uint8Array, file: SealedFile, piece?: number) => all(openFile(file, piecesOf(object, piece), { cipher }))

  describe('a sealed file', () => {
    test.each(fileSizes)('of %i bytes opens again, and the second implementation makes and opens the same object', async (size) => {
      const plain = contentOf(size)
      const object = await seal(plain)
      expect(object.length).toBe(objectSize(size))
      expect(await open(object, fileOf(size))).toEqual(plain)
      expect(second.sealFile(id, key, header, plain)).toEqual(object)
      expect(second.openFile(id, key, object)).toEqual(plain)
    })

    test('each vector is reproduced and opened by both implementations', async () => {
      expect(vectors.files.map((v) => v.size)).toEqual(fileSizes)
      for (const v of vectors.files) {
        const object = second.sealFile(v.id, bin(v.key), bin(v.header), contentOf(v.size))
        expect({ bytes: object.length, sha256: sha256(object) }).toEqual({ bytes: v.objectBytes, sha256: v.sha256 })
        const file = { id: v.id, key: bin(v.key), size: v.size }
        expect(sha256(await all(sealFile(file, bin(v.header), piecesOf(contentOf(v.size)), cipher)))).toBe(v.sha256)
        expect(await open(object, file)).toEqual(contentOf(v.size))
      }
    })

    test('however it is cut into pieces on the way, the bytes are the same', async () => {
      const plain = contentOf(150_001)
      const object = await seal(plain)
      await fc.assert(
        fc.asyncProperty(fc.integer({ min: 1, max: 200_000 }), async (piece) => {
          expect(await all(sealFile(fileOf(plain.length), header, piecesOf(plain, piece), cipher))).toEqual(object)
          expect(await open(object, fileOf(plain.length), piece)).toEqual(plain)
        }),
        { numRuns: 25 },
      )
    })

    test('a cut download goes on behind the whole chunks that are there', async () => {
      const size = 3 * chunk
      const plain = contentOf(size)
      const object = await seal(plain)
      for (const have of [0, 1, chunk - 1, chunk, 2 * chunk + 5, size]) {
        const at = resumePoint(have, size)
        const stream = FileStream.of(fileOf(size), object.subarray(0, fileHead), cipher)
        for (let i = 0; i < at.plain; i += chunk) stream.seal(plain.subarray(i, i + chunk), false)
        const rest = await all(openFile(fileOf(size), piecesOf(object.subarray(at.object)), { after: { stream, plain: at.plain }, cipher }))
        expect(rest).toEqual(plain.subarray(at.plain))
      }
    })

    test('a local part that was changed meanwhile does not go on', async () => {
      const plain = contentOf(2 * chunk)
      const object = await seal(plain)
      const stream = FileStream.of(fileOf(2 * chunk), object.subarray(0, fileHead), cipher)
      stream.seal(new Uint8Array(chunk), false)
      const rest = openFile(fileOf(2 * chunk), piecesOf(object.subarray(fileHead + sealedChunk)), { after: { stream, plain: chunk }, cipher })
      await refuses('file_damaged', /changed/, () => all(rest))
    })
  })

  describe('is refused as damaged', () => {
    const size = 2 * chunk + 100
    const file = fileOf(size)
    const chunks = (object: Uint8Array) => [
      object.subarray(0, fileHead),
      ...[0, 1, 2].map((n) => object.subarray(fileHead + n * sealedChunk, fileHead + (n + 1) * sealedChunk)),
    ]
    const rebuilt = async (order: number[]) => {
      const parts = chunks(await seal(contentOf(size)))
      return new Uint8Array(Buffer.concat(order.map((n) => parts[n] ?? new Uint8Array())))
    }

    const cases: [string, RegExp, () => Promise<Uint8Array>, SealedFile?][] = [
      ['nothing at all', /cut short/, async () => new Uint8Array()],
      ['a head alone', /cut short/, () => rebuilt([0])],
      ['an object without its last chunk', /cut short/, () => rebuilt([0, 1, 2])],
      ['an object cut within a chunk', /cut short/, async () => (await rebuilt([0, 1, 2, 3])).subarray(0, -1)],
      ['two chunks in each other’s place', /changed|place/, () => rebuilt([0, 2, 1, 3])],
      ['a chunk twice', /changed|place/, () => rebuilt([0, 1, 1, 3])],
      [
        'a chunk of another file',
        /changed|place/,
        async () =>
          new Uint8Array(
            Buffer.concat([
              ...chunks(await seal(contentOf(size))).slice(0, 3),
              ...chunks(await seal(contentOf(size), fileOf(size, { key: new Uint8Array(32).fill(9) }))).slice(3),
            ]),
          ),
      ],
      ['bytes after the end', /after its end/, async () => new Uint8Array(Buffer.concat([await rebuilt([0, 1, 2, 3]), Uint8Array.of(0)]))],
      ['another beginning', /begin/, async () => (await rebuilt([0, 1, 2, 3])).with(3, 0x32)],
      ['another stream header', /changed/, async () => (await rebuilt([0, 1, 2, 3])).with(10, 0)],
      ['a flipped bit', /changed/, async () => (await rebuilt([0, 1, 2, 3])).with(fileHead + 70_000, 1)],
      ['the object of another id', /changed/, () => seal(contentOf(size), fileOf(size, { id: 'f_bbbbbbbbbbbbbbbbbbbbbbbbbb' as FileId }))],
      ['a file that ends where more was promised', /ends early/, () => seal(contentOf(2 * chunk)), fileOf(2 * chunk + 65_536)],
      [
        'a last chunk that is not marked as the end',
        /end is missing/,
        async () => {
          const stream = FileStream.start(file, header, cipher)
          return new Uint8Array(Buffer.concat([stream.head, stream.seal(contentOf(10), false)]))
        },
        fileOf(10),
      ],
    ]
    test.each(cases)('%s', (_name, says, make, as = file) => refuses('file_damaged', says, async () => open(await make(), as)))

    test.each([300, chunk + 300])('any single flipped bit of %i bytes, wherever it is', async (size) => {
      const object = await seal(contentOf(size))
      await fc.assert(
        fc.asyncProperty(fc.integer({ min: 0, max: object.length * 8 - 1 }), async (bit) => {
          const flipped = object.with(bit >> 3, (object[bit >> 3] ?? 0) ^ (1 << (bit & 7)))
          await refuses('file_damaged', /./, () => open(flipped, fileOf(size)))
        }),
      )
    })
  })

  describe('sealing', () => {
    test('refuses a source with more bytes than were said', () => refuses('file_refused', /grew/, () => seal(contentOf(chunk + 1), fileOf(chunk))))
    test('refuses a source with fewer', () => refuses('file_refused', /shrank/, () => seal(contentOf(chunk), fileOf(chunk + 1))))
  })
})
