import type { Mesh } from '@claudemesh/client'
import { Headless } from '../claude/harness/headless.ts'
import { installClaude } from '../claude/harness/install.ts'
import { textOf, type ApiRequest } from '../claude/harness/messages-api.ts'
import { present, World } from '../claude/harness/world.ts'
import type { Row } from './table.ts'

/** The usual rule of thumb for English text. */
const charactersPerToken = 4
const status = (to: string) => `[[call mcp__plugin_claudemesh_mesh__set_status ${JSON.stringify({ status: to })}]] [[say done]]`

/** What the delivery of waiting messages of 80 characters adds to a request of the real Claude Code, beside the same messages delivered one by one. */
export async function tokensBench(): Promise<Row[]> {
  installClaude()
  await using world = await World.start()
  const ann = await world.peer('Ann')
  const bob = world.own(new Headless(world, 'bob', { launch: ['--name', 'Bob'] }))
  await present(ann, 'Bob')
  await bob.turn('[[say here]]')
  const rows: Row[] = []
  let single = 0
  for (const n of [1, 5, 20]) {
    await bob.turn(status('dnd'))
    const texts = await sendAll(ann, n)
    bob.say(status('idle'))
    const all = (request: ApiRequest) => texts.every((text) => request.text.includes(text))
    const request = await world.api.until('bob', `${n} messages`, all)
    const turns = request.body.messages.map(textOf).filter((text) => text.includes('<peer-message') && texts.some((one) => text.includes(one)))
    const tokens = turns.join('').length / charactersPerToken
    if (n === 1) single = tokens
    const baseline = single * n
    rows.push({
      bench: 'tokens',
      metric: `${n} waiting ${n === 1 ? 'message' : 'messages, as one delivery'}`,
      value: tokens,
      unit: 'tokens',
      baseline,
      ratio: tokens / baseline,
    })
  }
  return rows
}

/** Sends so many messages of 80 characters and waits until his client has them. */
async function sendAll(ann: Mesh, n: number): Promise<string[]> {
  const texts = Array.from({ length: n }, (_, i) =>
    `${n}-${String(i).padStart(2, '0')} the parser is green again and the release can go on as planned`.padEnd(80, '.'),
  )
  const received = new Set<string>()
  const arrived = new Promise<void>((resolve) => {
    const off = ann.on('delivery', ({ id, rung }) => {
      if (rung === 'received') received.add(id)
      if (received.size < n) return
      off()
      resolve()
    })
  })
  for (const message of texts) await ann.send({ to: 'Bob', message })
  await arrived
  return texts
}
