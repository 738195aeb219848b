import { expect, test } from 'vitest'
import { defaultRates } from '@claudemesh/broker'
import { contract, isPutOff, MeshError } from '@claudemesh/protocol'
import { Requests } from '../../packages/client/src/requests.ts'
import { TestClock } from '../harness/clock.ts'
import { seen } from '../harness/events.ts'
import { testMesh, type TestMesh, type TestPeer } from '../harness/mesh.ts'

const kibi = 1024
const large = 'x'.repeat(4 * kibi)
// Time that a test moves on while the store is at work makes it look slow.
const refusals = ['rate_limited', 'overloaded']

/** A broker that takes few characters from a session; Alice is to send, Bob to read. */
async function scene(stack: AsyncDisposableStack, bytes = { perSecond: 4 * kibi, burst: 8 * kibi }) {
  const mesh = stack.use(await testMesh({ lag: () => 0, rates: { ...defaultRates, session: { ...defaultRates.session, bytes } } }))
  return { mesh, alice: await mesh.peer('Alice'), bob: await mesh.peer('Bob') }
}

const texts = (peer: TestPeer) => seen(peer, 'message').map(({ text }) => text)
const named = (list: readonly string[]) => list.map((text) => text.slice(0, 8))

/** Moves time on until these are answered. */
async function answered<T>(mesh: TestMesh, sends: readonly Promise<T>[], step = 100): Promise<PromiseSettledResult<T>[]> {
  const left = new Set(sends)
  for (const one of sends) void one.catch(() => {}).finally(() => left.delete(one))
  while (left.size > 0) await mesh.advance(step)
  return Promise.allSettled(sends)
}

test('of two messages under way at once, the small one does not pass the large one that was put off', async () => {
  await using stack = new AsyncDisposableStack()
  const { mesh, alice, bob } = await scene(stack)
  await alice.send({ to: 'Bob', message: large })
  const sends = [`large ${large}`, 'small', 'smaller'].map((message) => alice.send({ to: 'Bob', message }))
  await mesh.settle()
  expect(named(texts(bob))).toEqual(['xxxxxxxx'])
  for (const { status } of await answered(mesh, sends)) expect(status).toBe('fulfilled')
  await mesh.settle()
  expect(named(texts(bob)).slice(1)).toEqual(['large xx', 'small', 'smaller'])
})

test('nor does what was sent while the answer was on its way, however long that took', async () => {
  await using stack = new AsyncDisposableStack()
  const { mesh, alice, bob } = await scene(stack)
  await alice.send({ to: 'Bob', message: large })
  alice.line.hold()
  const first = alice.send({ to: 'Bob', message: `large ${large}` })
  for (let i = 0; i < 3; i++) await bob.calls.session.getPolicy({})
  mesh.clock.advance(900)
  const second = alice.send({ to: 'Bob', message: 'second' })
  for (let i = 0; i < 3; i++) await bob.calls.session.getPolicy({})
  alice.line.release()
  const third = alice.send({ to: 'Bob', message: 'third' })
  await mesh.settle()
  for (const { status } of await answered(mesh, [first, second, third])) expect(status).toBe('fulfilled')
  await mesh.settle()
  expect(named(texts(bob)).slice(1)).toEqual(['large xx', 'second', 'third'])
})

test('one that was put off for too long fails, and those behind it go on without it', async () => {
  await using stack = new AsyncDisposableStack()
  const { mesh, alice, bob } = await scene(stack, { perSecond: kibi, burst: 8 * kibi })
  const sends = ['one', 'two', 'three', 'four'].map((text) => alice.send({ to: 'Bob', message: `${text} ${large}` }))
  sends.push(alice.send({ to: 'Bob', message: 'small' }))
  const results = await answered(mesh, sends, 500)
  const failed = results.flatMap((result) => (result.status === 'rejected' ? [result.reason as { code: string; retryAfter: number }] : []))
  for (const error of failed) expect(refusals).toContain(error.code)
  expect(failed.length).toBeGreaterThan(0)
  expect(results.at(-1)?.status).toBe('fulfilled')
  await mesh.settle()
  expect(texts(bob)).toHaveLength(results.length - failed.length)
  expect(texts(bob).at(-1)).toBe('small')
})

// mulberry32
function dice(seed: number): (below: number) => number {
  return (below) => {
    seed = (seed + 0x6d2b79f5) | 0
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) % below
  }
}

test.each([1, 2, 3, 4, 5, 6])('however sends, answers and time interleave, what arrives is in order (seed %i)', async (seed) => {
  await using stack = new AsyncDisposableStack()
  const { mesh, alice, bob } = await scene(stack, { perSecond: 40 * kibi, burst: 8 * kibi })
  const roll = dice(seed)
  const sends: Promise<string>[] = []
  const step = async () => {
    const what = roll(10)
    if (what < 5) {
      const text = `${sends.length} ${'x'.repeat(roll(3) === 0 ? 4 * kibi : roll(400))}`
      sends.push(alice.send({ to: roll(2) === 0 ? 'Bob' : '*', message: text }).then(() => text))
      void sends.at(-1)?.catch(() => {})
    } else if (what === 5) alice.line.hold()
    else if (what === 6) alice.line.release()
    else if (what === 7) mesh.clock.advance(roll(100))
    else await bob.calls.session.getPolicy({})
  }
  for (let i = 0; i < 150; i++) await step()
  alice.line.release()
  const results = await answered(mesh, sends)
  await mesh.settle()
  const arrived = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []))
  for (const result of results) if (result.status === 'rejected') expect(refusals).toContain((result.reason as MeshError).code)
  expect(named(texts(bob))).toEqual(named(arrived))
  expect(arrived.length).toBeGreaterThan(10)
})

test('what was put off is sent when everything behind it is answered, and not before', async () => {
  const clock = new TestClock()
  const requests = new Requests(clock)
  const sent: string[] = []
  requests.connected((text) => sent.push((JSON.parse(text) as { id: string }).id))
  const ask = (id: string) => void requests.ask(contract.session.getPolicy, {}, { id }).catch(() => {})
  const putOff = (id: string) => requests.answer({ type: 'error', id, code: 'rate_limited', message: 'later', retryAfter: 100 })
  for (const id of ['before', 'first', 'second', 'third']) ask(id)
  putOff('first')
  clock.advance(100)
  ask('fresh')
  putOff('second')
  clock.advance(100)
  expect(sent.splice(0)).toEqual(['before', 'first', 'second', 'third'])
  requests.answer({ type: 'policy', id: 'third' })
  expect(sent.splice(0)).toEqual(['first', 'second', 'fresh'])
  putOff('first')
  clock.advance(100)
  requests.disconnected(new MeshError('unavailable'))
  expect(sent).toEqual([])
  requests.connected((text) => sent.push((JSON.parse(text) as { id: string }).id))
  expect(sent).toEqual(['first'])
  requests.closed(new MeshError('closed'))
})

test('a refusal that says nothing of when to come back is no putting off', () => {
  expect(isPutOff({ code: 'rate_limited' })).toBe(false)
  expect(isPutOff({ code: 'overloaded', retryAfter: 5001 })).toBe(false)
  expect(isPutOff({ code: 'queue_full', retryAfter: 10 })).toBe(false)
})
