import { execFileSync } from 'node:child_process'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import type { Mesh } from '@claudemesh/client'
import type { Status } from '@claudemesh/protocol'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { verifies } from '../harness/verifies.ts'
import { Headless } from './harness/headless.ts'
import type { ApiRequest } from './harness/messages-api.ts'
import { present, World } from './harness/world.ts'

const bash = (command: string) => `[[call Bash ${JSON.stringify({ command })}]]`
const carries = (text: string) => (request: ApiRequest) => request.text.includes(text)

describe('Bob in the middle of a turn', () => {
  let world: World
  let bob: Headless
  let watcher: Mesh

  beforeAll(async () => {
    world = await World.start()
    bob = world.own(new Headless(world, 'bob', { launch: ['--name', 'Bob'], claude: ['--allowedTools', 'Bash'] }))
    watcher = await world.peer('Watcher')
    await present(watcher, 'Bob')
  })
  afterAll(() => world[Symbol.asyncDispose]())

  /** Has Bob run a command that waits at a gate; resolves when it runs, with the means to let it end. */
  async function atGate(name: string, after: string): Promise<() => Promise<void>> {
    const fifo = join(world.project, name)
    execFileSync('mkfifo', [fifo])
    bob.say(`wait at the gate ${bash(`cat ${fifo}`)} ${after}`)
    // Opening for writing succeeds when the other end reads: his tool runs now.
    const gate = await open(fifo, 'w')
    return () => gate.close()
  }

  function statusOfBob(wanted: Status): Promise<void> {
    return new Promise((resolve) => {
      const look = () => watcher.peers().some((peer) => peer.name === 'Bob' && peer.status === wanted) && resolve()
      watcher.on('peer', look)
      look()
    })
  }

  test('a message that comes while his tool runs reaches his model before the turn ends; hooks keep his status', async () => {
    verifies('peers.status-by-hooks')
    const turns = bob.turns
    const openGate = await atGate('gate-next', `${bash('true')} ${bash('true')} ${bash('true')} [[say done]]`)
    await statusOfBob('working')
    const text = 'stop, the schema has changed'
    world.claudemesh('send', 'Bob', text, '--name', 'Dora', '--wait', 'received')
    expect(bob.turns).toBe(turns)
    await openGate()
    const request = await world.api.until('bob', text, carries(text))
    expect(bob.turns).toBe(turns)
    expect(request.text).toContain('Dora')
    await bob.until('the end of the turn', () => bob.turns > turns)
    await statusOfBob('idle')
  })
})
