// Words that people read to each other: the same at both ends, and different as soon as any key is.
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { meshWords, pairWords, ready } from '@claudemesh/crypto'
import type { MemberPubkey } from '@claudemesh/protocol'
import { beforeAll, describe, expect, test } from 'vitest'
import type { makeVectors } from '../../packages/crypto/generate-vectors.ts'
import { wordlist } from '../../packages/crypto/src/wordlist.ts'
import { h } from './second.ts'
import { makeWorld, refuses, type World } from './world.ts'

type Vectors = Awaited<ReturnType<typeof makeVectors>>
const vectors = JSON.parse(readFileSync(new URL('../../packages/crypto/vectors/cm1.json', import.meta.url), 'utf8')) as Vectors

let w: World
beforeAll(async () => {
  await ready()
  w = makeWorld()
})

test('the list is that of BIP-39', () => {
  expect(wordlist).toHaveLength(2048)
  const digest = createHash('sha256')
    .update(`${wordlist.join('\n')}\n`)
    .digest('hex')
  expect(digest).toBe('2f5eed53a4727b4bf8880d8f3f199efc90e58503646d9ff8eff3a2ed3b24dbda')
})

describe('eight words', () => {
  test('are the same for both members, and others for any other pair or mesh', () => {
    const { root, admin, joiner } = w
    const pair = pairWords(root.publicKey, admin.publicKey, joiner.publicKey)
    expect(pair).toHaveLength(8)
    expect(pairWords(root.publicKey, joiner.publicKey, admin.publicKey)).toEqual(pair)
    const other = makeWorld(50)
    const all = [
      pair,
      meshWords(root.publicKey),
      meshWords(other.root.publicKey),
      pairWords(other.root.publicKey, admin.publicKey, joiner.publicKey),
      pairWords(root.publicKey, admin.publicKey, other.joiner.publicKey),
      pairWords(root.publicKey, admin.publicKey, admin.publicKey),
    ]
    expect(new Set(all.map((words) => words.join(' '))).size).toBe(6)
  })

  test('are not made of anything but keys', () => refuses('bad_encoding', /./, () => pairWords(w.root.publicKey, w.admin.publicKey, 'AA' as MemberPubkey)))

  test('are those of the vectors, worked out in another way', () => {
    const key = (name: string) => Buffer.from(vectors.keys[name]?.publicKey ?? '', 'base64url')
    const words = (digest: Uint8Array) => {
      const n = BigInt(`0x${Buffer.from(digest.subarray(0, 11)).toString('hex')}`)
      return Array.from({ length: 8 }, (_, i) => wordlist[Number((n >> BigInt(77 - 11 * i)) & 2047n)])
    }
    expect(words(h(32, 'cm1:words\0mesh\0', key('root')))).toEqual(vectors.safetyWords.mesh)
    const sorted = [key('root'), key('admin'), key('member')].toSorted((a, b) => Buffer.compare(a, b))
    expect(words(h(32, 'cm1:words\0pair\0', ...sorted))).toEqual(vectors.safetyWords.pair)
  })
})
