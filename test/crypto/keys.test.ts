import { fingerprint, inviteKey, memberIdOf, memberKey, meshIdOf, messageIdOf, ready, rootKey, seedOf, sessionKey, toB64u, webRandom } from '@claudemesh/crypto'
import type { ClientId, SessionPubkey } from '@claudemesh/protocol'
import { blake2b } from '@noble/hashes/blake2.js'
import * as fc from 'fast-check'
import { beforeAll, describe, expect, test } from 'vitest'
import { refuses, seed } from './world.ts'

beforeAll(ready)

test('a seed makes the same key pair each time, and seedOf gives it back', () => {
  const key = memberKey(seed(5))
  expect(memberKey(seedOf(key))).toEqual(key)
  expect(seedOf(key)).toEqual(seed(5))
  expect(key.publicKey).toMatch(/^[A-Za-z0-9_-]{43}$/)
})

describe('ids', () => {
  const root = () => rootKey(seed(1)).publicKey

  test('a mesh id is 32 characters of a bucket name and differs with the root', () => {
    expect(meshIdOf(root())).toMatch(/^[a-z2-7]{32}$/)
    expect(meshIdOf(rootKey(seed(2)).publicKey)).not.toBe(meshIdOf(root()))
  })

  test('a member has another id in another mesh', () => {
    const member = memberKey(seed(3)).publicKey
    const ids = [root(), rootKey(seed(2)).publicKey].map((r) => memberIdOf(meshIdOf(r), member))
    expect(new Set(ids).size).toBe(2)
    expect(ids[0]).toMatch(/^[A-Za-z0-9_-]{22}$/)
  })

  test('a message id depends on sender and client id, and only on these', () => {
    const [a, b] = [sessionKey(seed(3)).publicKey, sessionKey(seed(4)).publicKey]
    const [x, y] = [toB64u(seed(1, 16)), toB64u(seed(2, 16))] as [ClientId, ClientId]
    expect(messageIdOf(a, x)).toBe(messageIdOf(a, x))
    expect(new Set([messageIdOf(a, x), messageIdOf(b, x), messageIdOf(a, y)]).size).toBe(3)
  })

  test('a message id is the hash of what the texts stand for, as another implementation makes it', () => {
    const of16 = fc.uint8Array({ minLength: 16, maxLength: 16 })
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), of16, (sender, id) => {
        const expected = blake2b(Buffer.concat([Buffer.from('cm1:msgid\0'), sender, id]), { dkLen: 16 })
        expect(messageIdOf(toB64u(sender) as SessionPubkey, toB64u(id) as ClientId)).toBe(toB64u(expected))
      }),
    )
  })

  test('a message id is refused for any text that is not the one of its bytes', () => {
    const key = sessionKey(seed(3)).publicKey
    const id = toB64u(seed(1, 16)) as ClientId
    fc.assert(
      fc.property(fc.nat(42), fc.constantFrom('+', '/', '=', ' ', 'é', '\u{1f600}', '\0'), (at, wrong) => {
        refuses('bad_encoding', /./, () => messageIdOf((key.slice(0, at) + wrong + key.slice(at + 1)) as SessionPubkey, id))
        refuses('bad_encoding', /./, () => messageIdOf(key, (id.slice(0, at % 22) + wrong + id.slice((at % 22) + 1)) as ClientId))
      }),
    )
    refuses('bad_encoding', /canonical/, () => messageIdOf(`${key.slice(0, 42)}B` as SessionPubkey, id))
    refuses('bad_encoding', /canonical/, () => messageIdOf(key, `${id.slice(0, 21)}B` as ClientId))
  })

  test('an invite key is bound to the root of its mesh', () => {
    expect(inviteKey(root(), seed(9, 16)).publicKey).not.toBe(inviteKey(rootKey(seed(2)).publicKey, seed(9, 16)).publicKey)
  })

  test('keys and ids of the wrong length are refused', () => {
    refuses('bad_encoding', /32 bytes/, () => meshIdOf(toB64u(seed(1, 31)) as never))
    refuses('bad_encoding', /16 bytes/, () => messageIdOf(sessionKey(seed(1)).publicKey, toB64u(seed(1, 15)) as never))
  })
})

test('a fingerprint is two groups of four hex digits', () => {
  const prints = [1, 2, 3].map((n) => fingerprint(sessionKey(seed(n)).publicKey))
  for (const print of prints) expect(print).toMatch(/^[0-9a-f]{4} [0-9a-f]{4}$/)
  expect(new Set(prints).size).toBe(3)
})

test('webRandom gives any number of bytes, also beyond the platform’s limit, never the same', () => {
  const bytes = webRandom(200_000)
  expect(bytes).toHaveLength(200_000)
  for (const start of [0, 65_536, 131_072, 199_900]) expect(bytes.subarray(start, start + 100).some((byte) => byte !== 0)).toBe(true)
  expect(webRandom(32)).not.toEqual(webRandom(32))
})
