import { describe, expect, test } from 'vitest'
import type { Priority } from '@claudemesh/protocol'
import { Load, type Readings } from '../../packages/broker/src/load.ts'

const calm: Readings = { lag: 5, age: 3, outbox: 0 }
const bounds: Readings = { lag: 250, age: 1000, outbox: 1000 }

/** A broker that is asked at every millisecond of a second. */
function world() {
  let now = 1_000_000
  let readings = calm
  const load = new Load(() => readings, bounds)
  const admits = (priority: Priority, isVolatile: boolean) => {
    try {
      load.admit(now, priority, isVolatile)
      return true
    } catch (error) {
      expect(error).toMatchObject({ code: 'overloaded', retryAfter: 1000 })
      return false
    }
  }
  const during = (ms: number, become: Readings, priority: Priority = 'next', isVolatile = false) => {
    readings = become
    let admitted = 0
    for (let i = 0; i < ms; i++, now++) if (admits(priority, isVolatile)) admitted++
    return admitted / ms
  }
  return { load, during, pass: (ms: number) => (now += ms) }
}

describe('an overloaded broker', () => {
  test('admits everything while it keeps up', () => {
    const { during } = world()
    expect(during(5000, calm)).toBe(1)
    expect(during(1000, calm, 'low', true)).toBe(1)
  })

  test.each([
    ['the loop is late', { ...calm, lag: 251 }],
    ['commits are late', { ...calm, age: 1001 }],
    ['peers do not take what is theirs', { ...calm, outbox: 1001 }],
  ])('admits a small share within a second when %s', (_, bad) => {
    const { during, load } = world()
    during(200, calm)
    during(800, bad)
    expect(load.share).toBe(1 / 32)
    expect(during(1000, bad)).toBeCloseTo(1 / 32, 2)
  })

  test('recovers within five seconds, and refuses volatile and low messages first and longest', () => {
    const { during, load } = world()
    during(2000, { ...calm, age: 10_000 })
    expect(during(1000, calm, 'low')).toBe(0)
    expect(during(1000, calm, 'next', true)).toBe(0)
    expect(during(100, calm, 'now')).toBeGreaterThan(0.5)
    during(1500, calm)
    expect(load.share).toBe(1)
    expect(during(1000, calm, 'low')).toBe(1)
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
