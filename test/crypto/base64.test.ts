import { fromB64u, toB64u } from '@claudemesh/crypto'
import { describe, expect, test } from 'vitest'
import { buffered, portable } from '../../packages/crypto/src/base64.ts'
import { refuses } from './world.ts'

const samples = [0, 1, 2, 3, 4, 5, 31, 32, 255, 256, 8191, 8192, 8193, 20_000].map((n) => Uint8Array.from({ length: n }, (_, i) => (i * 167 + n) % 256))

describe.each([
  ['with Buffer', buffered],
  ['without Buffer', portable],
])('base64url %s', (_name, codec) => {
  test('writes what Node writes and reads it back', () => {
    if (!codec) throw new Error('this platform has no Buffer')
    for (const bytes of samples) {
      const text = Buffer.from(bytes).toString('base64url')
      expect(codec.encode(bytes)).toBe(text)
      expect(codec.decode(text)).toEqual(bytes)
    }
  })
})

test('a part of a larger array is written alone', () => expect(toB64u(Uint8Array.of(9, 1, 2, 3, 9).subarray(1, 4))).toBe('AQID'))

test('what is read does not share memory with anything else', () => expect(fromB64u('AQID').buffer.byteLength).toBe(3))

test.each([
  ['padding', 'AQ=='],
  ['the standard alphabet', 'ab+/'],
  ['a space', 'AQ ID'],
  ['a line end', 'AQID\n'],
  ['one character too many', 'AQIDA'],
  ['set bits after 1 byte', 'AR'],
  ['set bits after 2 bytes', 'AQJ'],
])('refuses %s', (_what, text) => refuses('bad_encoding', /canonical/, () => fromB64u(text)))

test('refuses another length than expected', () => refuses('bad_encoding', /expected 4 bytes in base64url, got 3/, () => fromB64u('AQID', 4)))

test('accepts exactly one text for each length-2 and length-3 tail', () => {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  const accepted = (prefix: string) =>
    [...alphabet].filter((c) => {
      try {
        return toB64u(fromB64u(prefix + c)) === prefix + c
      } catch {
        return false
      }
    })
  expect(accepted('A')).toHaveLength(4)
  expect(accepted('AA')).toHaveLength(16)
  expect(accepted('AAA')).toHaveLength(64)
})
