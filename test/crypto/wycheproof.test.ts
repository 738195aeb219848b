// Public vectors against the very calls of libsodium that cm1 makes.
import { readFileSync } from 'node:fs'
import { ready } from '@claudemesh/crypto'
import { beforeAll, describe, expect, test } from 'vitest'
import { sodium, verifies } from '../../packages/crypto/src/sodium.ts'

interface Case {
  tcId: number
  comment: string
  result: 'valid' | 'invalid' | 'acceptable'
}
interface File<G, T> {
  numberOfTests: number
  testGroups: (G & { tests: (Case & T)[] })[]
}

const load = <G, T>(name: string) =>
  JSON.parse(readFileSync(new URL(`../../packages/crypto/vectors/wycheproof/${name}_test.json`, import.meta.url), 'utf8')) as File<G, T>
const bin = (text: string) => new Uint8Array(Buffer.from(text, 'hex'))
const attempt = <T>(work: () => T): T | undefined => {
  try {
    return work()
  } catch {
    return undefined
  }
}

beforeAll(ready)

describe('ed25519', () => {
  const file = load<{ publicKey: { pk: string } }, { msg: string; sig: string }>('ed25519')
  const cases = file.testGroups.flatMap((group) => group.tests.map((c) => ({ ...c, pk: group.publicKey.pk })))

  test('every case is there', () => expect(cases).toHaveLength(151))
  test.each(cases)('$tcId $comment', (c) => expect(verifies(bin(c.pk), bin(c.sig), bin(c.msg))).toBe(c.result === 'valid'))
})

describe('x25519', () => {
  const file = load<object, { public: string; private: string; shared: string }>('x25519')
  const cases = file.testGroups.flatMap((group) => group.tests)
  const zero = '0'.repeat(64)

  test('every case is there', () => expect(cases).toHaveLength(518))
  // The box key is a hash of the shared point; scalarmult is the same multiplication without it.
  test.each(cases)('$tcId $comment', (c) => {
    const shared = attempt(() => sodium.crypto_scalarmult(bin(c.private), bin(c.public)))
    const boxKey = attempt(() => sodium.crypto_box_beforenm(bin(c.public), bin(c.private)))
    if (c.shared === zero) expect([shared, boxKey]).toEqual([undefined, undefined])
    else {
      expect(shared && Buffer.from(shared).toString('hex')).toBe(c.shared)
      expect(boxKey).toHaveLength(32)
    }
  })
})

describe('xchacha20-poly1305', () => {
  const file = load<{ ivSize: number }, { key: string; iv: string; aad: string; msg: string; ct: string; tag: string }>('xchacha20_poly1305')
  const cases = file.testGroups.flatMap((group) => group.tests)

  test('every case is there', () => expect(cases).toHaveLength(315))
  test.each(cases)('$tcId $comment', (c) => {
    const sealed = bin(c.ct + c.tag)
    const opened = attempt(() => sodium.crypto_aead_xchacha20poly1305_ietf_decrypt(null, sealed, bin(c.aad), bin(c.iv), bin(c.key)))
    if (c.result !== 'valid') expect(opened).toBeUndefined()
    else {
      expect(opened).toEqual(bin(c.msg))
      expect(sodium.crypto_aead_xchacha20poly1305_ietf_encrypt(bin(c.msg), bin(c.aad), null, bin(c.iv), bin(c.key))).toEqual(sealed)
    }
  })
})
