import { spawnSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { Mesh } from '@claudemesh/client'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { cli, present, World } from './harness/world.ts'

const examples = fileURLToPath(new URL('../../apps/cli/examples/', import.meta.url))
let world: World
let watcher: Mesh
let env: NodeJS.ProcessEnv

beforeAll(async () => {
  world = await World.start()
  watcher = await world.peer('Watcher')
  const bin = join(world.folder, 'bin')
  mkdirSync(bin)
  writeFileSync(join(bin, 'claudemesh'), `#!/bin/sh\nexec '${process.execPath}' '${cli}' "$@"\n`, { mode: 0o755 })
  const given = world.env('wizard')
  // A login shell would reset the PATH.
  writeFileSync(join(given['HOME'] ?? '', '.tmux.conf'), 'set -g default-command /bin/sh\n')
  env = { ...given, PATH: `${bin}${delimiter}${given['PATH']}`, TMUX_TMPDIR: world.folder, SHELL: '/bin/sh' }
})
afterAll(async () => {
  spawnSync('tmux', ['kill-server'], { env })
  await world[Symbol.asyncDispose]()
})

function tmux(...args: string[]): string {
  const run = spawnSync('tmux', args, { env, encoding: 'utf8' })
  if (run.status !== 0) throw new Error(`tmux ${args[0]}: ${run.stderr}`)
  return run.stdout
}

/** The screen as soon as it ends with this. */
async function screenUntil(end: string): Promise<string> {
  const latest = performance.now() + 30_000
  for (;;) {
    const screen = tmux('capture-pane', '-p', '-t', 'wizard').trimEnd()
    if (screen.endsWith(end)) return screen
    if (performance.now() > latest) throw new Error(`the terminal still shows:\n${screen}`)
    await nextTurn()
  }
}

test('the wizard’s screen, line by line, and the session that it starts', async () => {
  tmux('new-session', '-d', '-s', 'wizard', '-x', '120', '-y', '50', '-c', world.project, 'claudemesh launch')
  await screenUntil(`Name: ${suggested()}`)
  tmux('send-keys', '-t', 'wizard', 'C-u')
  for (const [answer, next] of [
    ['Alice', 'Role (optional):'],
    ['dev', 'Groups (optional):'],
    ['frontend:lead, reviewers', 'Continue? [Y/n]'],
  ] as const) {
    tmux('send-keys', '-t', 'wizard', '-l', answer)
    tmux('send-keys', '-t', 'wizard', 'Enter')
    await screenUntil(next)
  }
  expect((await screenUntil('Continue? [Y/n]')).split('\n')).toEqual([
    'Name: Alice',
    'Mesh: local (1 peer online)',
    'Role (optional): dev',
    'Groups (optional): frontend:lead, reviewers',
    'Autonomous mode',
    'Claude will send and receive peer messages without',
    'asking you first. Peers exchange text only — no file',
    'access, no tool calls, no code execution.',
    'Continue? [Y/n]',
  ])
  tmux('send-keys', '-t', 'wizard', 'Enter')
  await present(watcher, 'Alice')
  expect(watcher.peers().find((peer) => peer.name === 'Alice')).toMatchObject({
    role: 'dev',
    groups: [{ name: 'frontend', role: 'lead' }, { name: 'reviewers' }],
  })
})

test('the example with two panes starts two sessions', async () => {
  const run = spawnSync('sh', [join(examples, 'two-panes.sh'), 'example'], { env, cwd: world.project, encoding: 'utf8' })
  expect(run).toMatchObject({ status: 0, stderr: '' })
  await present(watcher, 'Vinnie', 'Big T')
  expect(watcher.peers().find((peer) => peer.name === 'Vinnie')).toMatchObject({ role: 'thief', groups: [{ name: 'robbers', role: 'lead' }] })
})

/** The name that the wizard suggests: the member's. */
function suggested(): string {
  const { meshes } = JSON.parse(world.claudemesh('list', '--json')) as { meshes: [{ name: string }] }
  return meshes[0].name
}
