import { execFileSync } from 'node:child_process'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import type { Mesh } from '@claudemesh/client'
import type { MessageId } from '@claudemesh/protocol'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Headless } from './harness/headless.ts'
import { textOf } from './harness/messages-api.ts'
import { present, World } from './harness/world.ts'

const bash = (command: string) => `[[call Bash ${JSON.stringify({ command })}]]`
const peers = '[[call mcp__plugin_claudemesh_mesh__list_peers {}]]'

let world: World
let bob: Headless
let ann: Mesh
beforeAll(async () => {
  world = await World.start()
  bob = world.own(new Headless(world, 'bob', { launch: ['--name', 'Bob'], claude: ['--allowedTools', 'Bash'] }))
  ann = await world.peer('Ann')
  await present(ann, 'Bob')
})
afterAll(() => world[Symbol.asyncDispose]())

/** Settles with the rung when the message has reached one of these. */
function reaches(id: MessageId, rungs: readonly string[]): Promise<string> {
  return new Promise((resolve) => {
    const off = ann.on('delivery', (update) => {
      if (update.id !== id || !rungs.includes(update.rung)) return
      off()
      resolve(update.rung)
    })
    const ask = async () => {
      const [known] = (await ann.status(id)).recipients
      if (known && rungs.includes(known.rung)) resolve(known.rung)
    }
    void ask()
  })
}

const frames = () => {
  const request = world.api.requests.findLast((one) => one.session === 'bob' && one.body.tools?.length)
  const shown = request?.body.messages.map(textOf).join('\n') ?? ''
  return [...shown.matchAll(/<peer-message [^>]*>\n(\w+ \d\d)\n/g)].map((match) => match[1])
}

test('an MCP server that is killed in the middle of a stream loses nothing and shows nothing twice', async () => {
  const fifo = join(world.project, 'gate')
  execFileSync('mkfifo', [fifo])
  bob.say(`wait ${bash(`cat ${fifo}`)} ${peers} ${peers} ${peers} ${bash('true')} ${bash('true')} [[say done]]`)
  const gate = await open(fifo, 'w')
  const send = (tag: string, i: number) => ann.send({ to: 'Bob', message: `${tag} ${String(i).padStart(2, '0')}` })
  const before = await Promise.all(Array.from({ length: 20 }, (_, i) => send('before', i)))
  await Promise.all(before.map(({ id }) => reaches(id, ['received', 'surfaced'])))
  process.kill(serverOf(world.folder), 'SIGKILL')
  const after = await Promise.all(Array.from({ length: 20 }, (_, i) => send('after', i)))
  await gate.close()
  const rungs = await Promise.all([...before, ...after].map(({ id }) => reaches(id, ['surfaced', 'failed'])))
  expect(rungs).toEqual(Array.from({ length: 40 }, () => 'surfaced'))
  await world.api.until('bob', 'all of them', () => frames().length >= 40)
  const numbers = Array.from({ length: 20 }, (_, i) => String(i).padStart(2, '0'))
  expect(new Set(frames())).toEqual(new Set(['after', 'before'].flatMap((tag) => numbers.map((n) => `${tag} ${n}`))))
  expect(frames()).toHaveLength(40)
})

/** The process of the one MCP server that was started from this world. */
function serverOf(folder: string): number {
  const rows = execFileSync('ps', ['-eo', 'pid=,args='], { encoding: 'utf8' }).split('\n')
  const row = rows.find((line) => line.includes(' mcp --handover ') && line.includes(folder))
  return Number(row?.trim().split(' ')[0])
}
