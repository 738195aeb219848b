import { expect, test } from 'vitest'
import { giveBackWhenQuiet, thisEngine, type Engine } from '@claudemesh/broker-app/give-back'
import { TestClock } from '../harness/clock.ts'

const minute = 60_000
const MiB = 1024 * 1024

/** An engine that has so much of the system's memory and so much work, and needs no more than 100 MiB. */
function engineOf() {
  const state = { resident: 300 * MiB, busy: 0, given: 0 }
  const engine: Engine = {
    resident: () => state.resident,
    busy: () => state.busy,
    giveBack: () => {
      state.given++
      state.resident = Math.min(state.resident, 100 * MiB)
    },
  }
  return { state, engine }
}

test('memory that is free is given back after a quiet minute, and again once it has grown by much', () => {
  const clock = new TestClock()
  const { state, engine } = engineOf()
  giveBackWhenQuiet(engine, clock)
  clock.advance(minute - 1)
  expect(state.given).toBe(0)
  clock.advance(1)
  expect(state).toMatchObject({ given: 1, resident: 100 * MiB })
  state.resident = 130 * MiB
  clock.advance(10 * minute)
  expect(state.given).toBe(1)
  state.resident = 133 * MiB
  clock.advance(minute)
  expect(state.given).toBe(2)
})

test('a broker with work keeps its memory until it has none', () => {
  const clock = new TestClock()
  const { state, engine } = engineOf()
  giveBackWhenQuiet(engine, clock)
  state.busy = 0.1
  clock.advance(10 * minute)
  expect(state.given).toBe(0)
  state.busy = 0.01
  clock.advance(minute)
  expect(state.given).toBe(1)
})

test('memory that is in use is not asked for again and again', () => {
  const clock = new TestClock()
  let given = 0
  giveBackWhenQuiet({ resident: () => 500 * MiB, busy: () => 0, giveBack: () => void given++ }, clock)
  clock.advance(10 * minute)
  expect(given).toBe(1)
})

test('once ended, the watch touches nothing', () => {
  const clock = new TestClock()
  const { state, engine } = engineOf()
  giveBackWhenQuiet(engine, clock)()
  clock.advance(10 * minute)
  expect(state.given).toBe(0)
})

test('the engine of a process gives back the garbage that it kept', () => {
  const engine = thisEngine()
  expect(engine.resident()).toBeGreaterThan(0)
  expect(engine.busy()).toBeGreaterThanOrEqual(0)
  let garbage: object | undefined = { big: 'x'.repeat(1000) }
  const seen = new WeakRef(garbage)
  garbage = undefined
  return new Promise<void>((resolve) =>
    setImmediate(() => {
      engine.giveBack()
      expect(seen.deref()).toBeUndefined()
      resolve()
    }),
  )
})
