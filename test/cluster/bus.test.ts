import { openBus } from '@claudemesh/drivers'
import { describe, expect, test } from 'vitest'
import { NatsServer, natsThere } from '../harness/nats.ts'
import { buses } from './buses.ts'

/** Publishes a mark and resolves once it was heard: everything published before has been. */
const collector = () => {
  const heard: string[] = []
  const waiting = new Map<string, () => void>()
  const listener = (text: string) => {
    heard.push(text)
    waiting.get(text)?.()
  }
  return { heard, listener, until: (text: string) => new Promise<void>((resolve) => waiting.set(text, resolve)) }
}

describe.each(buses)('the %s bus', (_, meet) => {
  test('brings what is published to everybody on the subject, the publisher too, in order', async () => {
    await using meeting = await meet()
    await using one = await meeting.open()
    await using two = await meeting.open()
    const [mine, theirs, other] = [collector(), collector(), collector()]
    await one.subscribe('claudemesh.mesh.a', mine.listener)
    await two.subscribe('claudemesh.mesh.a', theirs.listener)
    await two.subscribe('claudemesh.mesh.b', other.listener)
    const all = Promise.all([mine.until('99'), theirs.until('99')])
    for (let i = 0; i < 100; i++) one.publish('claudemesh.mesh.a', String(i))
    await all
    const expected = Array.from({ length: 100 }, (__, i) => String(i))
    expect(mine.heard).toEqual(expected)
    expect(theirs.heard).toEqual(expected)
    expect(other.heard).toEqual([])
  })

  test('stops at the end of a subscription, and carries text as it is', async () => {
    await using meeting = await meet()
    await using bus = await meeting.open()
    const [first, second] = [collector(), collector()]
    const stop = await bus.subscribe('claudemesh.mesh.a', first.listener)
    await bus.subscribe('claudemesh.mesh.a', second.listener)
    const text = `{"line":"one"}\n{"line":"zwölf 🎲"}\n${'x'.repeat(500_000)}`
    const came = Promise.all([first.until(text), second.until(text)])
    bus.publish('claudemesh.mesh.a', text)
    await came
    stop()
    const end = second.until('end')
    bus.publish('claudemesh.mesh.a', 'end')
    await end
    expect(first.heard).toEqual([text])
  })

  test('says that brokers elsewhere may be on it', async () => {
    await using meeting = await meet()
    await using bus = await meeting.open()
    expect(bus.shared).toBe(true)
  })
})

test('the local bus of one broker is not shared', async () => {
  await using bus = await openBus('local:')
  expect(bus.shared).toBe(false)
})

describe.runIf(natsThere)('NATS', () => {
  test('that stops and starts again is noticed, and its subscriptions stand again', async () => {
    await using server = await NatsServer.start()
    await using bus = await openBus(server.url)
    const words: boolean[] = []
    let changed = () => {}
    bus.watch?.((up) => {
      words.push(up)
      changed()
    })
    const { heard, listener, until } = collector()
    await bus.subscribe('claudemesh.mesh.a', listener)
    let next = new Promise<void>((resolve) => (changed = resolve))
    await server.stop()
    await next
    bus.publish('claudemesh.mesh.a', 'lost')
    next = new Promise<void>((resolve) => (changed = resolve))
    await server.restart()
    await next
    const end = until('end')
    bus.publish('claudemesh.mesh.a', 'end')
    await end
    expect(words).toEqual([false, true])
    expect(heard).toEqual(['end'])
  })
})
