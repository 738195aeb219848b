import { Mesh } from '@claudemesh/client'
import { expect, test } from 'vitest'
import { EvilBroker, type Frame } from '../harness/evil.ts'
import { change, next, seen } from '../harness/events.ts'
import { testMesh, type TestMesh, type TestPeer } from '../harness/mesh.ts'

const longest = { random: (n: number) => new Uint8Array(n).fill(255) }

/** Alice behind a broker that answers some requests as the test likes. */
async function scene(stack: AsyncDisposableStack) {
  const mesh = stack.use(await testMesh())
  const evil = stack.use(await EvilBroker.before(mesh.url))
  const alice = await mesh.peer('Alice', { dial: evil.dial, options: longest })
  return { mesh, evil, alice }
}

const refusal = (frame: Frame, more: object): Frame => ({ type: 'error', id: frame['id'], code: 'internal', message: 'no', ...more })

/** Refuses what would be answered by this type. */
function refuse(evil: EvilBroker, type: string, more: object = {}): void {
  evil.tamper = (frame) => [frame.type === type ? refusal(frame, more) : frame]
}

/** How long the client waits before each of its next attempts, and why. */
async function waits(mesh: TestMesh, peer: TestPeer, attempts: number): Promise<{ ms: number; code: string }[]> {
  const found: { ms: number; code: string }[] = []
  while (found.length < attempts) {
    const state = await next(peer, 'connection', ({ phase }) => phase === 'waiting')
    if (state.phase !== 'waiting') continue
    const ms = state.until - mesh.clock.now()
    found.push({ ms, code: state.cause.code })
    mesh.clock.advance(ms)
  }
  return found
}

test('a broker that accepts the session and lists no peers is asked less and less often, and the state says why', async () => {
  await using stack = new AsyncDisposableStack()
  const { mesh, evil, alice } = await scene(stack)
  refuse(evil, 'peers_list')
  evil.hangUp(4999)
  const lost = { ms: 250, code: 'unavailable' }
  const refused = [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000].map((ms) => ({ ms, code: 'internal' }))
  expect(await waits(mesh, alice, 9)).toEqual([lost, ...refused])
  evil.tamper = (frame) => [frame]
  while (alice.connection.phase !== 'ready') await change(alice, 'connection')
  const bob = await mesh.peer('Bob')
  await bob.send({ to: 'Alice', message: 'you again' })
  expect(await next(alice, 'message')).toMatchObject({ text: 'you again' })
})

test('a session that would not wait for its broker is told what stands against it', async () => {
  await using stack = new AsyncDisposableStack()
  const { mesh, evil } = await scene(stack)
  refuse(evil, 'peers_list', { code: 'overloaded', retryAfter: 60_000 })
  const options = await mesh.options('Bob', { dial: evil.dial })
  await expect(Mesh.connect(options)).rejects.toMatchObject({ code: 'overloaded' })
})

test('a list that was put off until nobody waited for it is asked for again', async () => {
  await using stack = new AsyncDisposableStack()
  const { mesh, evil, alice } = await scene(stack)
  const asked = new Promise<Frame>((resolve) => (evil.tamper = (frame) => (frame.type === 'peers_list' ? (resolve(frame), []) : [frame])))
  evil.hangUp(4999)
  expect(await waits(mesh, alice, 1)).toMatchObject([{ code: 'unavailable' }])
  const list = await asked
  mesh.clock.advance(6000)
  evil.say(refusal(list, { code: 'overloaded', retryAfter: 4500 }))
  await alice.calls.session.getPolicy({})
  evil.tamper = (frame) => [frame]
  mesh.clock.advance(4000)
  expect(await waits(mesh, alice, 1)).toMatchObject([{ code: 'unavailable' }])
  while (alice.connection.phase !== 'ready') await change(alice, 'connection')
  // As long as the broker said.
  mesh.clock.advance(500)
  const bob = await mesh.peer('Bob')
  await bob.send({ to: 'Alice', message: 'still there?' })
  expect(await next(alice, 'message')).toMatchObject({ text: 'still there?' })
})

test.for([
  { retryAfter: 0, expected: [250, 500, 1000, 2000, 4000] },
  { retryAfter: -1e9, expected: [250, 500, 1000, 2000, 4000] },
  { retryAfter: 1e15, expected: [250, 300_000, 300_000] },
  { retryAfter: 2500, expected: [250, 2500, 2500, 2500, 4000] },
])('a broker that says to come again after $retryAfter ms is dialled within reason', async ({ retryAfter, expected }) => {
  await using stack = new AsyncDisposableStack()
  const { mesh, evil, alice } = await scene(stack)
  refuse(evil, 'hello_ack', { code: 'overloaded', retryAfter })
  evil.hangUp(4999)
  expect((await waits(mesh, alice, expected.length)).map(({ ms }) => ms)).toEqual(expected)
})

test('a broker that is asked whether it is there and refuses to say more has not gone silent', async () => {
  await using stack = new AsyncDisposableStack()
  const { mesh, evil, alice } = await scene(stack)
  refuse(evil, 'policy', { code: 'overloaded', retryAfter: 60_000 })
  const asked = evil.heard.length
  mesh.clock.advance(76_000)
  await expect(alice.calls.session.getPolicy({})).rejects.toMatchObject({ code: 'overloaded' })
  expect(evil.heard.slice(asked).map(({ type }) => type)).toEqual(['get_policy', 'get_policy'])
  expect(seen(alice, 'connection')).toEqual([])
})
