import { once } from 'node:events'
import { readFileSync, readdirSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { Headless } from '../claude/harness/headless.ts'
import { installClaude } from '../claude/harness/install.ts'
import { present, World } from '../claude/harness/world.ts'
import { percentile, type Row } from './table.ts'

// Fewer than the pace lets through at once.
const rounds = 7

/**
 * From the tool call of one real Claude Code to the request by which the model of another one, idle, is asked about the message. Baseline: from a line put
 * straight into the inbox of that Claude Code to the same request.
 */
export async function wakeBench(): Promise<Row[]> {
  installClaude()
  await using world = await World.start()
  const watcher = await world.peer('Watcher')
  const alice = world.own(new Headless(world, 'alice', { launch: ['--name', 'Alice'] }))
  const bob = world.own(new Headless(world, 'bob', { launch: ['--name', 'Bob'] }))
  await present(watcher, 'Alice', 'Bob')
  await Promise.all([alice.turn('[[say here]]'), bob.turn('[[say here]]')])
  const inbox = inboxOf(join(world.folder, 'home-bob'))
  const samples: number[] = []
  const straight: number[] = []
  for (let i = 0; i < rounds; i++) {
    const wake = async (text: string, begin: () => Promise<number>): Promise<number> => {
      const turns = bob.turns
      const began = await begin()
      const woken = await world.api.until('bob', text, (request) => request.text.includes(text))
      await bob.until('the end of his turn', () => bob.turns > turns)
      return woken.at - began
    }
    const [word, line] = [`by the mesh, number ${i}`, `by the inbox, number ${i}`]
    straight.push(await wake(line, () => put(inbox, line)))
    samples.push(
      await wake(word, async () => {
        await alice.turn(`tell him ${i} [[call mcp__plugin_claudemesh_mesh__send_message ${JSON.stringify({ to: 'Bob', message: word })}]]`)
        return (await world.api.until('alice', 'the prompt', (request) => request.text.includes(word))).at
      }),
    )
  }
  const [value, baseline] = [percentile(samples, 0.5), percentile(straight, 0.5)]
  const metric = 'tool call to the idle peer’s API request, p50'
  return [{ bench: 'wake', metric, value, unit: 'ms', baseline, ratio: value / baseline, goal: '≤ 300 ms', met: value <= 300 }]
}

/** Where the one Claude Code of this home takes messages. */
function inboxOf(home: string): string {
  const sessions = join(home, '.claude', 'sessions')
  const file = readdirSync(sessions).find((name) => name.endsWith('.json')) ?? ''
  return (JSON.parse(readFileSync(join(sessions, file), 'utf8')) as { messagingSocketPath: string }).messagingSocketPath
}

async function put(path: string, content: string): Promise<number> {
  const socket = connect(path)
  await once(socket, 'connect')
  const began = performance.now()
  socket.end(`${JSON.stringify({ type: 'user', message: { role: 'user', content }, from: 'bench', priority: 'next' })}\n`)
  return began
}
