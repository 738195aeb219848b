import { readAhead, release, WriteBehind } from '@claudemesh/protocol'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'

const bytesOf = (size: number) => Uint8Array.from({ length: size }, (_, i) => i)

describe('writing behind', () => {
  test('whatever is pushed comes out in order, one write at a time, though the pieces are used again', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 9 }), fc.array(fc.integer({ min: 0, max: 30 })), async (size, lengths) => {
        const written: number[] = []
        let busy = 0
        const behind = new WriteBehind(size, async (bytes) => {
          expect(++busy).toBe(1)
          await Promise.resolve()
          written.push(...bytes)
          busy--
        })
        const piece = new Uint8Array(30)
        let next = 0
        for (const length of lengths) {
          for (let i = 0; i < length; i++) piece[i] = next++
          await behind.push(piece.subarray(0, length))
        }
        await behind.flush()
        expect(Uint8Array.from(written)).toEqual(bytesOf(next))
      }),
    )
  })

  test('one buffer fills while the other is written, and no more', async () => {
    const writes: (() => void)[] = []
    const behind = new WriteBehind(4, () => new Promise((resolve) => writes.push(resolve)))
    await behind.push(bytesOf(4))
    await behind.push(bytesOf(3))
    expect(writes).toHaveLength(1)
    const third = behind.push(bytesOf(1))
    expect(writes).toHaveLength(1)
    writes[0]?.()
    await third
    expect(writes).toHaveLength(2)
  })

  test('a write that failed is told at the next push and at each flush, and nothing is written after it', async () => {
    let writes = 0
    const behind = new WriteBehind(4, async () => {
      writes++
      throw new Error('no room')
    })
    await behind.push(bytesOf(4))
    await expect(behind.push(bytesOf(4))).rejects.toThrow('no room')
    await expect(behind.push(bytesOf(4))).rejects.toThrow('no room')
    for (let i = 0; i < 2; i++) await expect(behind.flush()).rejects.toThrow('no room')
    expect(writes).toBe(1)
  })
})

describe('reading ahead', () => {
  const from = (bytes: Uint8Array, most: number) => async (into: Uint8Array, position: number) => {
    const piece = bytes.subarray(position, position + Math.min(most, into.length))
    into.set(piece)
    return piece.length
  }

  test('gives all bytes from a position, however few each read gives', async () => {
    const bytes = bytesOf(100)
    for (const most of [1, 7, 64]) {
      const out: number[] = []
      for await (const piece of readAhead(16, 10, from(bytes, most))) out.push(...piece)
      expect(Uint8Array.from(out)).toEqual(bytes.subarray(10))
    }
  })

  test('reads one piece ahead of the one in use, and none into it', async () => {
    const places: number[] = []
    const read = from(bytesOf(100), 16)
    const pieces = readAhead(16, 0, (into, position) => {
      places.push(position)
      return read(into, position)
    })
    const { value } = await pieces.next()
    expect(places).toEqual([0, 16])
    expect(value).toEqual(bytesOf(16))
  })

  test('a read that fails is told after the bytes before it, and nowhere when nobody asks', async () => {
    const broken = () => readAhead(16, 0, async (_into, position) => (position === 0 ? 16 : Promise.reject(new Error('bad sector'))))
    const told = broken()
    expect((await told.next()).value).toHaveLength(16)
    await expect(told.next()).rejects.toThrow('bad sector')
    const left = broken()
    await left.next()
    expect(await left.return()).toEqual({ value: undefined, done: true })
  })

  test('whoever leaves early waits for the read under way, so that its file may be closed', async () => {
    const reads: ((count: number) => void)[] = []
    const pieces = readAhead(16, 0, async (_into, position) => (position === 0 ? 16 : new Promise((resolve) => reads.push(resolve))))
    await pieces.next()
    let left = false
    const leaving = pieces.return().then(() => (left = true))
    await Promise.resolve()
    expect(left).toBe(false)
    reads[0]?.(0)
    expect(await leaving).toBe(true)
  })
})

describe('releasing', () => {
  test('frees bytes that are a buffer of their own', () => {
    const bytes = bytesOf(100)
    release(bytes)
    expect(bytes.length).toBe(0)
  })

  test('leaves alone what is a part of a larger buffer, or shared', () => {
    const whole = bytesOf(100)
    release(whole.subarray(1))
    expect(whole).toEqual(bytesOf(100))
    const shared = new Uint8Array(new SharedArrayBuffer(8))
    release(shared)
    expect(shared.length).toBe(8)
  })
})
