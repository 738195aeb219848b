import { describe, expect, test } from 'vitest'
import { pad, paddedLength, unpad } from '../../packages/crypto/src/padding.ts'
import { refuses, seed } from './world.ts'

describe('padded length', () => {
  // Padmé of the length with its four-byte prefix, worked out by hand.
  test.each([
    [0, 256],
    [252, 256],
    [253, 272],
    [268, 272],
    [269, 288],
    [508, 512],
    [509, 544],
    [1020, 1024],
    [1021, 1088],
    [65_532, 65_536],
    [65_533, 67_584],
  ])('of %i bytes is %i', (n, length) => expect(paddedLength(n)).toBe(length))

  test('wastes at most 12 % above the floor and never shrinks', () => {
    let before = 0
    for (let n = 253; n < 70_000; n += 41) {
      const length = paddedLength(n)
      expect(length).toBeGreaterThanOrEqual(Math.max(before, n + 4))
      expect(length).toBeLessThanOrEqual((n + 4) * 1.12)
      before = length
    }
  })
})

test('what was padded comes back', () => {
  for (const n of [0, 1, 251, 252, 253, 1000, 5000]) expect(unpad(pad(seed(0xaa, n)))).toEqual(seed(0xaa, n))
})

describe('refused as bad_padding', () => {
  const withLength = (n: number, length: number) => {
    const bytes = new Uint8Array(n)
    new DataView(bytes.buffer).setUint32(0, length)
    return bytes
  }

  test.each([
    ['nothing', new Uint8Array(0), /too short/],
    ['less than the floor', withLength(255, 10), /too short/],
    ['a multiple that another length has', withLength(272, 10), /not the one/],
    ['a length beyond the end', withLength(256, 0xffff_ffff), /not the one/],
    ['bytes cut off', pad(seed(1, 1000)).subarray(0, 1000), /not the one/],
  ])('%s', (_what, bytes, says) => refuses('bad_padding', says, () => unpad(bytes)))

  test('a byte that is not zero, at either end', () => {
    for (const at of [14, 255]) {
      const bytes = pad(seed(1, 10))
      bytes[at] = 1
      refuses('bad_padding', /not zero/, () => unpad(bytes))
    }
  })
})
