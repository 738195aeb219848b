import { expect, test } from 'vitest'
import type { Meter } from '@claudemesh/broker'
import { clientId, testBroker, TestMesh, type Frame, type Peer } from './kit.ts'

/** Counts by name and label. */
function tally(): { meter: Meter; of: (name: string, label: string) => number } {
  const counts = new Map<string, number>()
  return {
    meter: {
      count: (name, label, n = 1) => void counts.set(`${name} ${label}`, (counts.get(`${name} ${label}`) ?? 0) + n),
      observe: () => {},
    },
    of: (name, label) => counts.get(`${name} ${label}`) ?? 0,
  }
}

function flood(from: Peer, to: Peer, count: number, text: string): string[] {
  const { id: _, type, ...rest } = from.sendFrame([to.key], text, { volatile: true })
  const ids = Array.from({ length: count }, () => clientId())
  for (const id of ids) from.wire.send({ type, id, ...rest })
  return ids
}

const told = (peer: Peer, type: string) => peer.wire.seen.filter((frame) => frame.type === type)

test('a flood of volatile messages is refused by name beyond the sender’s rate, dropped by name for who does not read, and holds up nobody else', async () => {
  const { meter, of } = tally()
  await using broker = await testBroker('pglite:', { meter })
  const mesh = await new TestMesh(broker.url, broker.clock).create()
  await using alice = await mesh.peer('Alice')
  await using bob = await mesh.peer('Bob')
  await using carol = await mesh.peer('Carol')
  await using dave = await mesh.peer('Dave')
  bob.wire.ws.pause()
  const ids = flood(alice, bob, 2100, 'x'.repeat(10_000))
  // While that is under way, and after it.
  for (let i = 0; i < 20; i++) {
    const frame = carol.sendFrame([dave.key], `${i}`, { volatile: true })
    expect(await carol.wire.ask(frame)).toMatchObject({ type: 'ack', volatile: true })
    expect(await dave.wire.next('push')).toMatchObject({ id: frame['id'] })
  }
  await alice.wire.next(({ id }) => id === ids.at(-1))
  expect(told(alice, 'ack').map(({ id }) => id)).toEqual(ids.slice(0, 2000))
  const refused = told(alice, 'error')
  expect(refused.map(({ id }) => id)).toEqual(ids.slice(2000))
  for (const error of refused) expect(error).toMatchObject({ code: 'rate_limited', retryAfter: 5 })
  expect(of('refusals', 'rate_limited')).toBe(100)

  const dropped = of('drops', 'volatile_dropped')
  expect(dropped).toBeGreaterThan(0)
  expect([of('drops', 'left_to_queue'), of('messages', 'stored')]).toEqual([0, 0])
  bob.wire.ws.resume()
  await bob.wire.ask({ type: 'get_policy' })
  const pushed = told(bob, 'push').map(({ id }) => id)
  expect(pushed).toHaveLength(2000 - dropped)
  expect(pushed).toEqual(ids.filter((id) => pushed.includes(id)))
  // What came while it did not read is gone; what comes now arrives.
  const last: Frame = carol.sendFrame([bob.key], 'now', { volatile: true })
  expect(await carol.wire.ask(last)).toMatchObject({ type: 'ack', volatile: true })
  expect(await bob.wire.next(({ id }) => id === last['id'])).toMatchObject({ type: 'push' })
})

test('where the broker falls behind, volatile messages have half of their mesh’s ceiling, and are refused beyond it by name', async () => {
  let lag = 0
  const { meter, of } = tally()
  await using broker = await testBroker('pglite:', { meter, rates: false, lag: () => lag })
  const mesh = await new TestMesh(broker.url, broker.clock).create()
  await using alice = await mesh.peer('Alice')
  await using bob = await mesh.peer('Bob')
  lag = 1000
  for (let i = 0; i < 2; i++) {
    broker.clock.advance(100)
    expect(await alice.send([bob.key], 'late', { volatile: true })).toMatchObject({ type: 'ack' })
  }
  broker.clock.advance(100)
  const ids = flood(alice, bob, 5, 'x')
  await alice.wire.next(({ id }) => id === ids.at(-1))
  expect(told(alice, 'ack').map(({ id }) => id)).toEqual([expect.any(String), expect.any(String), ...ids.slice(0, 2)])
  expect(told(alice, 'error')).toMatchObject(ids.slice(2).map((id) => ({ id, code: 'overloaded', retryAfter: 1000 })))
  expect(of('refusals', 'overloaded')).toBe(3)
  expect(await alice.send([bob.key], 'stored')).toMatchObject({ type: 'ack', queued: 1 })
})
