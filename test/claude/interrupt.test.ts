import { execFileSync } from 'node:child_process'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import type { Mesh } from '@claudemesh/client'
import type { Status } from '@claudemesh/protocol'
import { afterAll, beforeAll, test } from 'vitest'
import { Terminal } from './harness/terminal.ts'
import { present, World } from './harness/world.ts'

let world: World
let watcher: Mesh
beforeAll(async () => {
  world = await World.start()
  watcher = await world.peer('Watcher')
})
afterAll(() => world[Symbol.asyncDispose]())

function statusOfBob(wanted: Status): Promise<void> {
  return new Promise((resolve) => {
    const look = () => {
      if (!watcher.peers().some((peer) => peer.name === 'Bob' && peer.status === wanted)) return
      off()
      resolve()
    }
    const off = watcher.on('peer', look)
    look()
  })
}

test('Esc in the middle of a tool, which fires no hook, does not leave him working; an open dialog shows him waiting', async () => {
  const bob = world.own(new Terminal(world, 'bob', { launch: ['--name', 'Bob'], claude: ['--permission-mode', 'manual', '--allowedTools', 'Bash(cat *)'] }))
  await present(watcher, 'Bob')
  const fifo = join(world.project, 'gate')
  execFileSync('mkfifo', [fifo])
  await bob.type(`wait [[call Bash ${JSON.stringify({ command: `cat ${fifo}` })}]] [[say done]]`)
  await using gate = await open(fifo, 'w')
  void gate
  await statusOfBob('working')
  bob.press('Escape')
  await statusOfBob('idle')
  await bob.type(`ask me [[call Bash ${JSON.stringify({ command: 'touch x' })}]] [[say done]]`)
  await statusOfBob('waiting')
  bob.press('Escape')
  await statusOfBob('idle')
})
