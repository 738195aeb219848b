import { createHash } from 'node:crypto'
import type { FileId } from '@claudemesh/protocol'
import { FileStream } from '../src/files.ts'
import { concat } from '../src/sodium.ts'
import { hex, seeded } from './world.ts'

export const fileSizes = [0, 1, 65_535, 65_536, 65_537, 150_001]

/** Byte i of every file of the vectors is `(31 i + ⌊i / 256⌋) mod 256`. */
const contentOf = (size: number) => Uint8Array.from({ length: size }, (_, i) => (i * 31 + (i >> 8)) & 255)

/** Files around the edges of a chunk; of each object its length and hash. */
export const makeFileVectors = () =>
  fileSizes.map((size) => {
    const random = seeded(`file ${size}`)
    const [key, header] = [random(32), random(24)]
    const id = 'f_abcdefghijklmnopqrstuvwxyz' as FileId
    const object = sealed({ id, key }, header, contentOf(size))
    const sha256 = createHash('sha256').update(object).digest('base64url')
    return { id, key: hex(key), header: hex(header), size, objectBytes: object.length, sha256 }
  })

function sealed(file: { id: FileId; key: Uint8Array }, header: Uint8Array, plain: Uint8Array): Uint8Array {
  const stream = FileStream.start(file, header)
  const parts = [stream.head]
  for (let at = 0; at === 0 || at < plain.length; at += 65_536) parts.push(stream.seal(plain.subarray(at, at + 65_536), at + 65_536 >= plain.length))
  return concat(...parts)
}
