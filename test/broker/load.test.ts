import { describe, expect, test } from 'vitest'
import type { MeshId, Priority } from '@claudemesh/protocol'
import { Backlog } from '../../packages/broker/src/backlog.ts'
import { Load, type Readings } from '../../packages/broker/src/load.ts'

const calm: Readings = { lag: 5, age: 3, outbox: 0 }
const bounds: Readings = { lag: 250, age: 1000, outbox: 1000 }
const [busy, quiet, third] = ['busy', 'quiet', 'third'] as MeshId[] as [MeshId, MeshId, MeshId]

/** A broker whose readings and whose time the test owns. */
function world() {
  let now = 1_000_000
  let readings = calm
  const backlog = new Backlog()
  const load = new Load(() => readings, backlog, bounds)
  const admits = (mesh: MeshId, priority: Priority = 'next', isVolatile = false) => {
    try {
      load.admit(mesh, now, priority, isVolatile)
      return true
    } catch (error) {
      expect(error).toMatchObject({ code: 'overloaded', retryAfter: 1000 })
      return false
    }
  }
  /** Sends until one is refused; how many were taken into the backlog. */
  const fill = (mesh: MeshId, priority: Priority = 'next') => {
    let n = 0
    for (; n < 20_000 && admits(mesh, priority); n++) backlog.add(mesh)
    return n
  }
  /** One message in each millisecond; the share that is admitted. */
  const during = (ms: number, become: Readings, mesh = busy, isVolatile = true) => {
    readings = become
    let admitted = 0
    for (let i = 0; i < ms; i++, now++) if (admits(mesh, 'next', isVolatile)) admitted++
    return admitted / ms
  }
  return { load, backlog, admits, fill, during, read: (next: Readings) => (readings = next), pass: (ms: number) => (now += ms), now: () => now }
}

describe('what waits for the store', () => {
  test('may be of one mesh for half of the room; the others find the rest, each half of what is left', () => {
    const { fill, admits } = world()
    expect(fill(busy)).toBe(2048)
    expect(fill(quiet)).toBe(1024)
    expect(fill(third)).toBe(512)
    expect(admits(busy)).toBe(false)
  })

  test('has half the room where it is low, and volatile messages need none', () => {
    const { fill, admits } = world()
    expect(fill(busy, 'low')).toBe(1366)
    expect(admits(busy, 'low')).toBe(false)
    expect(admits(busy, 'next')).toBe(true)
    fill(busy)
    expect(admits(busy)).toBe(false)
    expect(admits(busy, 'next', true)).toBe(true)
  })

  test('has as much room as the store takes in half a second, within bounds', () => {
    const { fill, backlog } = world()
    const roomAt = (perSecond: number) => {
      for (let i = 0; i < 100; i++) backlog.took(perSecond, 1000)
      const taken = fill(busy)
      for (let i = 0; i < taken; i++) backlog.remove(busy)
      return Math.round(taken / 10)
    }
    expect(roomAt(10_000)).toBe(250)
    expect(roomAt(100_000)).toBe(819)
    expect(roomAt(2000)).toBe(50)
  })

  test('finds hardly any room while the store does not answer, and all of it when it does again', () => {
    const { fill, read, pass, backlog, load, now } = world()
    for (let i = 0; i < 40; i++) backlog.add(quiet)
    read({ ...calm, age: 1001 })
    expect(fill(busy)).toBe(12)
    expect(load.full(busy, now())).toBe(true)
    read(calm)
    pass(100)
    expect(load.full(busy, now())).toBe(false)
    expect(fill(busy)).toBe(2016)
  })

  test('a slow round of few messages says nothing about the pace, a slow round of many does', () => {
    const { backlog } = world()
    backlog.took(63, 1)
    expect(backlog.pace).toBeUndefined()
    backlog.took(1000, 100)
    backlog.took(100, 1000)
    expect(backlog.pace).toBe(10_000)
    backlog.took(1000, 1000)
    expect(backlog.pace).toBe(7750)
    backlog.took(100, 5)
    expect(backlog.pace).toBe(10_812.5)
  })
})

describe('a broker that is late', () => {
  test.each([
    ['the loop is late', { ...calm, lag: 251 }],
    ['peers do not take what is theirs', { ...calm, outbox: 1001 }],
  ])('admits little of whoever sends much within a second when %s, and all of who sends little', (_, bad) => {
    const { during, admits, load, pass, now } = world()
    expect(during(1000, calm)).toBe(1)
    during(900, bad)
    expect(during(100, bad)).toBeLessThan(0.1)
    expect(load.share(now())).toBeLessThan(0.1)
    expect(admits(quiet, 'next', true)).toBe(true)
    pass(1001)
    expect(load.share(now())).toBe(1)
  })

  test('recovers within five seconds', () => {
    const { during } = world()
    during(3000, { ...calm, outbox: 5000 })
    during(4900, calm)
    expect(during(100, calm)).toBe(1)
  })

  test('refuses volatile messages first', () => {
    const { during, admits, load, now } = world()
    during(1000, { ...calm, outbox: 5000 })
    while (admits(busy, 'next', true));
    expect(load.full(busy, now())).toBe(false)
    expect(admits(busy)).toBe(true)
  })

  test('takes one hiccup for a hiccup', () => {
    const { during } = world()
    expect(during(100, { ...calm, lag: 900 })).toBe(1)
    expect(during(1000, calm)).toBe(1)
  })

  test('does not count what the loop did while nobody sent', () => {
    const { during, pass } = world()
    during(50, calm)
    pass(60_000)
    expect(during(1, { ...calm, lag: 5000 })).toBe(1)
    pass(60_000)
    expect(during(1, { ...calm, lag: 5000 })).toBe(1)
  })
})
