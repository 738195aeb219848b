import { expect, test } from 'vitest'
import { defaultRates } from '@claudemesh/broker'
import { next, seen } from '../harness/events.ts'
import { testMesh } from '../harness/mesh.ts'

const few = { ...defaultRates, session: { ...defaultRates.session, messages: { perSecond: 1, burst: 2 } } }

test('a client that is put off sends again when the broker said, and nothing overtakes it', async () => {
  await using mesh = await testMesh({ rates: few })
  const [alice, bob] = [await mesh.peer('Alice'), await mesh.peer('Bob')]
  const send = (message: string) => alice.send({ to: 'Bob', message })
  await send('one')
  await send('two')
  const three = send('three')
  await mesh.settle()
  const four = send('four')
  await mesh.settle()
  expect(seen(bob, 'message').map(({ text }) => text)).toEqual(['one', 'two'])
  await mesh.advance(1000)
  expect(await next(bob, 'message', ({ text }) => text !== 'one' && text !== 'two')).toMatchObject({ text: 'three' })
  expect(await three).toMatchObject({ queued: 1 })
  await mesh.advance(1000)
  expect(await next(bob, 'message', ({ text }) => text === 'four')).toMatchObject({ text: 'four' })
  expect(await four).toMatchObject({ queued: 1 })
})

test('what is put off for longer than a few seconds fails, and says how long', async () => {
  await using mesh = await testMesh({ rates: { ...few, member: { ...few.member, messages: { perSecond: 0.1, burst: 1 } } } })
  const [alice] = [await mesh.peer('Alice'), await mesh.peer('Bob')]
  await alice.send({ to: 'Bob', message: 'one' })
  await expect(alice.send({ to: 'Bob', message: 'two' })).rejects.toMatchObject({
    code: 'rate_limited',
    message: 'too many messages from this member: try again in 10 s',
    retryAfter: 10_000,
  })
})

test('a client whom an overloaded broker refuses sends again when the broker said', async () => {
  let lag = 0
  await using mesh = await testMesh({ rates: false, lag: () => lag })
  const [alice, bob] = [await mesh.peer('Alice'), await mesh.peer('Bob')]
  const send = (message: string) => alice.send({ to: 'Bob', message })
  const texts = () => seen(bob, 'message').map(({ text }) => text)
  await send('before')
  lag = 1000
  for (const text of ['late once', 'late twice']) {
    mesh.clock.advance(100)
    await send(text)
  }
  mesh.clock.advance(100)
  const five = ['1', '2', '3', '4', '5'].map(send)
  await Promise.all(five.slice(0, 4))
  await mesh.settle()
  expect(texts()).toEqual(['before', 'late once', 'late twice', '1', '2', '3', '4'])
  lag = 0
  await mesh.advance(1000)
  expect(await five[4]).toMatchObject({ queued: 1 })
  await mesh.settle()
  expect(texts().at(-1)).toBe('5')
})
