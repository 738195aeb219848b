import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Mesh } from '@claudemesh/client'
import type { MessageId } from '@claudemesh/protocol'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { isAlive } from '../../apps/cli/src/home/alive.ts'
import { Headless } from './harness/headless.ts'
import { textOf } from './harness/messages-api.ts'
import { present, World } from './harness/world.ts'

const names = ['Ann', 'Ben', 'Cleo']
const each = 12

let world: World
let bob: Headless
let senders: Mesh[]
beforeEach(async () => {
  world = await World.start()
  bob = world.own(new Headless(world, 'bob', { launch: ['--name', 'Bob'] }))
  senders = await Promise.all(names.map((name) => world.peer(name)))
  await Promise.all(senders.map((sender) => present(sender, 'Bob')))
})
afterEach(() => world[Symbol.asyncDispose]())

/** The same numbers for the same seed. */
function random(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

/** Every text that the model was shown, as often as it stands in the newest state of the conversation. */
function shown(): string[] {
  const request = world.api.requests.findLast((one) => one.session === 'bob' && one.body.tools?.length)
  const text = request?.body.messages.map(textOf).join('\n') ?? ''
  return [...text.matchAll(/<peer-message [^>]*>\n(\w+ \d\d)\n/g)].map((match) => match[1] ?? '')
}

interface Sent {
  readonly id: MessageId
  readonly text: string
  readonly sender: Mesh
}

/** Whether Claude Code had taken the text in: it stands in a request, or in what it writes down of the session before it asks. */
function taken(text: string): boolean {
  const folder = join(world.folder, 'home-bob', '.claude', 'projects')
  const transcripts = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.jsonl'))
  const asked = world.api.requests.some((one) => one.session === 'bob' && one.text.includes(text))
  return asked || transcripts.some((name) => readFileSync(join(folder, name), 'utf8').includes(text))
}

/** Each sender sends its messages one after the other; `between` runs after each that was stored. */
async function run(between: (sent: number) => Promise<void> | void): Promise<Sent[]> {
  const sent: Sent[] = []
  await Promise.all(
    senders.map(async (sender, who) => {
      for (let i = 0; i < each; i++) {
        const text = `${names[who]} ${String(i).padStart(2, '0')}`
        const result = await sender.send({ to: 'Bob', message: text }).catch(() => undefined)
        // He is gone.
        if (!result || result.queued === 0) continue
        sent.push({ id: result.id, text, sender })
        await between(sent.length)
      }
    }),
  )
  return sent
}

test.each([11, 12])('a broker that is killed in the middle of it, seed %i: all is shown once, in order', async (seed) => {
  const point = 3 + random(seed)(names.length * each - 6)
  const sent = await run(async (count) => {
    if (count !== point) return
    const { pid, port } = JSON.parse(readFileSync(join(world.folder, 'mesh', 'broker.json'), 'utf8')) as { pid: number; port: number }
    process.kill(pid, 'SIGKILL')
    while (isAlive(pid)) await nextTurn()
    world.claudemesh('up', '--port', String(port), '--detach')
  })
  // One that is refused while he, too, is on his way back was never stored: its sender knows.
  expect(sent.length).toBeGreaterThan(point)
  await world.api.until('bob', 'all of them', () => shown().length >= sent.length)
  expect(shown().toSorted()).toEqual(sent.map(({ text }) => text).toSorted())
  for (const { id, sender } of sent) while ((await sender.status(id)).recipients[0]?.proven !== true) await nextTurn()
  for (const name of names) {
    const own = shown().filter((text) => text.startsWith(name))
    expect(own).toEqual(own.toSorted())
  }
})

test.each([21, 23])('a Claude Code that is killed in the middle of it, seed %i: no rung says more than what it took in', async (seed) => {
  const point = 3 + random(seed)(names.length * each - 6)
  await bob.turn('[[say here]]')
  const { sessions } = JSON.parse(world.claudemesh('status', '--json')) as { sessions: { claude: number }[] }
  const [session] = sessions
  if (!session) throw new Error('his session does not run')
  const gone = Promise.all(
    senders.map((sender) => new Promise<void>((resolve) => sender.on('peer', () => sender.peers().every((peer) => peer.name !== 'Bob') && resolve()))),
  )
  const sent = await run((count) => {
    if (count === point) process.kill(session.claude, 'SIGKILL')
  })
  await gone
  const read = shown()
  expect(read).toEqual([...new Set(read)])
  for (const { id, text, sender } of sent) {
    const [state] = (await sender.status(id)).recipients
    expect(['stored', 'received', 'surfaced', 'failed']).toContain(state?.rung)
    if (state?.rung === 'surfaced') expect(taken(text)).toBe(true)
  }
})
