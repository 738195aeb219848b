import type { Log } from '@claudemesh/protocol'
import { expect, test } from 'vitest'
import { testBroker, TestMesh } from './kit.ts'

async function watched(options: { rates?: false } = {}) {
  const events: string[] = []
  const log: Log = (_, event, fields) => void events.push(fields?.['code'] === undefined ? event : String(fields['code']))
  const broker = await testBroker('pglite:', { log, ...options })
  return { broker, events, mesh: await new TestMesh(broker.url, broker.clock).create() }
}

test('to a peer that stops reading, messages stay in the queue, and come in order once it reads again', async () => {
  const { broker, events, mesh } = await watched()
  const [alice, bob, carol] = [await mesh.peer('Alice'), await mesh.peer('Bob'), await mesh.peer('Carol')]
  await alice.send([bob.key], 'first')
  await bob.wire.next('push')
  bob.wire.ws.pause()
  const frames = Array.from({ length: 150 }, () => alice.sendFrame([bob.key], 'x'.repeat(60_000)))
  for (const frame of frames) {
    alice.wire.send(frame)
    expect(await alice.wire.next((answer) => answer['id'] === frame['id'])).toMatchObject({ type: 'ack', queued: 1 })
  }
  expect(events).toContain('left_to_queue')
  await carol.wire.ask({ type: 'get_policy' })
  bob.wire.ws.resume()
  for (const frame of frames) expect(await bob.wire.next('push')).toMatchObject({ id: frame['id'] })
  await bob.wire.ask({ type: 'get_policy' })
  expect(bob.wire.seen.filter((frame) => frame.type === 'push')).toHaveLength(151)
  for (const peer of [alice, bob, carol]) await peer[Symbol.asyncDispose]()
  await broker[Symbol.asyncDispose]()
})

test('to a peer that stops reading, volatile messages are dropped by name', async () => {
  const { broker, events, mesh } = await watched()
  const [alice, bob] = [await mesh.peer('Alice'), await mesh.peer('Bob')]
  bob.wire.ws.pause()
  for (let i = 0; i < 300; i++) expect(await alice.send([bob.key], 'x'.repeat(60_000), { volatile: true })).toMatchObject({ volatile: true })
  expect(events).toContain('volatile_dropped')
  bob.wire.ws.terminate()
  await alice[Symbol.asyncDispose]()
  await broker[Symbol.asyncDispose]()
})

test('a peer that asks without end and never reads is closed as a slow consumer', async () => {
  const { broker, events, mesh } = await watched({ rates: false })
  const [alice, bob] = [await mesh.peer('Alice'), await mesh.peer('Bob')]
  bob.wire.ws.pause()
  for (let i = 0; i < 400 && !events.includes('slow_consumer'); i++) {
    for (let j = 0; j < 100; j++) bob.wire.send({ type: 'list_peers', id: 'again' })
    await alice.wire.ask({ type: 'get_policy' })
  }
  expect(events).toContain('slow_consumer')
  bob.wire.ws.resume()
  expect((await bob.wire.closed).code).toBe(4410)
  await alice[Symbol.asyncDispose]()
  await broker[Symbol.asyncDispose]()
})
