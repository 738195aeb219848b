import { execFileSync } from 'node:child_process'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import type { Mesh } from '@claudemesh/client'
import type { MessageId, Priority } from '@claudemesh/protocol'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Headless } from './harness/headless.ts'
import { present, World } from './harness/world.ts'

// One of low priority first: those after it overtake it, and the rest of its kind is held up behind it.
const priorities: Priority[] = ['low', 'next', 'next', 'now', 'next']
const bash = (command: string) => `[[call Bash ${JSON.stringify({ command })}]]`

describe('two hundred messages of three senders', () => {
  let world: World
  let bob: Headless
  let senders: Mesh[]

  beforeAll(async () => {
    world = await World.start()
    bob = world.own(new Headless(world, 'bob', { launch: ['--name', 'Bob'], claude: ['--allowedTools', 'Bash'] }))
    senders = await Promise.all(['Ann', 'Ben', 'Cleo'].map((name) => world.peer(name)))
    await Promise.all(senders.map((sender) => present(sender, 'Bob')))
  })
  afterAll(() => world[Symbol.asyncDispose]())

  /** Sends them in bursts; resolves when all have come in, with the moment when each was proven to be seen. */
  async function storm(tag: string, to: string): Promise<{ seen: Promise<void> }> {
    const received = new Set<MessageId>()
    const proven = new Set<MessageId>()
    const sent = Promise.all(
      Array.from({ length: 200 }, (_, i) =>
        (senders[i % 3] as Mesh).send({ to, message: `${tag} ${String(i).padStart(3, '0')}`, priority: priorities[i % 5] as Priority }),
      ),
    )
    const all = (ids: ReadonlySet<MessageId>) =>
      new Promise<void>((resolve) => {
        const look = async () => (await sent).every(({ id }) => ids.has(id)) && resolve()
        for (const sender of senders) sender.on('delivery', () => void look())
        void look()
      })
    for (const sender of senders)
      sender.on('delivery', (delivery) => {
        received.add(delivery.id)
        if (delivery.proven === true) proven.add(delivery.id)
      })
    const seen = all(proven)
    await all(received)
    return { seen }
  }

  /** The frames that reached the model in the newest state of its conversation, in order. */
  function framesOf(tag: string, session: string): { text: string; from: string; priority: string }[] {
    const request = world.api.requests.findLast((one) => one.session === session && one.body.tools?.length)
    const pattern = new RegExp(`<peer-message from="([^"]*)"[^>]*priority="([^"]*)"[^>]*>\\\\n(${tag} \\d{3})\\\\n`, 'g')
    const text = JSON.stringify(request?.body.messages).replaceAll('\\"', '"')
    return [...text.matchAll(pattern)].map(([, from = '', priority = '', body = '']) => ({ from, priority, text: body }))
  }

  function expectOnceInOrder(tag: string, session: string): void {
    const frames = framesOf(tag, session)
    expect(frames.map((frame) => frame.text).toSorted()).toEqual(Array.from({ length: 200 }, (_, i) => `${tag} ${String(i).padStart(3, '0')}`))
    for (const from of ['Ann', 'Ben', 'Cleo'])
      for (const priority of ['now', 'next', 'low']) {
        const texts = frames.filter((frame) => frame.from === from && frame.priority === priority).map((frame) => frame.text)
        expect(texts).toEqual(texts.toSorted())
      }
  }

  test('to an idle session are all proven to have been seen, once each, in order per sender', async () => {
    const { seen } = await storm('idle', 'Bob')
    // Low priority wakes nobody: it rides with the next turn.
    bob.say('[[say done]]')
    await seen
    await world.api.until('bob', 'the last of them', () => framesOf('idle', 'bob').length >= 200)
    expectOnceInOrder('idle', 'bob')
  })

  test('to a session in the middle of a turn as well', async () => {
    // A session of its own, to which nobody else speaks: what comes in the middle of a turn is no prompt.
    const cal = world.own(new Headless(world, 'cal', { launch: ['--name', 'Cal'], claude: ['--allowedTools', 'Bash'] }))
    await Promise.all(senders.map((sender) => present(sender, 'Cal')))
    const fifo = join(world.project, 'gate')
    execFileSync('mkfifo', [fifo])
    cal.say(`wait at the gate ${bash(`cat ${fifo}`)} ${bash('true')} ${bash('true')} [[say done]]`)
    const gate = await open(fifo, 'w')
    const { seen } = await storm('busy', 'Cal')
    await gate.close()
    await seen
    await world.api.until('cal', 'the last of them', () => framesOf('busy', 'cal').length >= 200)
    expectOnceInOrder('busy', 'cal')
  })
})
