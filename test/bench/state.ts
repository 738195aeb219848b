import type { ChildProcess } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createMesh, Mesh, type Dial } from '@claudemesh/client'
import { nodeDial, nodeRandom } from '@claudemesh/client/node'
import { sessionKey } from '@claudemesh/crypto'
import { systemClock } from '@claudemesh/protocol'
import { end, message, start } from './children.ts'
import { percentile, type Row } from './table.ts'

const peers = 100
const warmUp = 30
const measured = 200
const text = 'x'.repeat(200)

/**
 * From the call of `set_state` until its frame is at each of 100 peers and one of them has verified it; broker on disk in a process of its own. The other 99 only
 * take the frame: verifying is the work of their own processes. Baseline: a message of the same size to everybody, the same way.
 */
export async function stateBench(): Promise<Row[]> {
  const directory = await mkdtemp(join(tmpdir(), 'claudemesh-state-'))
  const children: ChildProcess[] = []
  const crowd: Mesh[] = []
  try {
    const broker = start(new URL('latency/broker.ts', import.meta.url), children)
    broker.send({ directory })
    const url = `${(await message(broker)).url}/ws`
    const everybody = new Gate(peers - 1)
    const founder = await createMesh({ url, slug: 'bench', name: 'Bench', clock: systemClock, dial: nodeDial, random: nodeRandom })
    const join = async (name: string, dial: Dial) => {
      const session = { key: sessionKey(nodeRandom(32)), incarnation: 1, id: name }
      const mesh = await Mesh.connect({ url, identity: founder, session, name, clock: systemClock, dial, random: nodeRandom })
      crowd.push(mesh)
      return mesh
    }
    const writer = await join('Writer', nodeDial)
    const reader = await join('Reader', nodeDial)
    for (let i = 2; i <= peers; i++) await join(`Peer ${i}`, everybody.dial)
    while (writer.peers().length < peers) await new Promise((resolve) => writer.on('peer', resolve))
    everybody.open = true
    const messages = await everybody.measure(
      (i) => writer.send({ to: '*', message: `${i} ${text}` }),
      () => new Promise((resolve) => once(reader, 'message', resolve)),
    )
    const writes = await everybody.measure(
      (i) => writer.state.set('progress', `${i} ${text}`),
      () => new Promise((resolve) => once(reader, 'state', resolve)),
    )
    return [row(writes, messages, 0.5, 5), row(writes, messages, 0.99)]
  } finally {
    for (const mesh of crowd) await mesh.close()
    await end(children)
    await rm(directory, { recursive: true, force: true })
  }
}

function row(writes: number[], messages: number[], p: number, most?: number): Row {
  const value = percentile(writes, p)
  const baseline = percentile(messages, p)
  const goal = most === undefined ? {} : { goal: `≤ ${most} ms`, met: value <= most }
  return {
    bench: 'state',
    metric: `set_state to ${peers} peers, beside a message to them, p${p * 100}`,
    value,
    unit: 'ms',
    baseline,
    ratio: value / baseline,
    ...goal,
  }
}

function once(mesh: Mesh, event: 'message' | 'state', resolve: () => void): void {
  const off = mesh.on(event, () => {
    off()
    resolve()
  })
}

/** Stands between the peers and their sockets: once open, it counts the frames of interest instead of handing them on. */
class Gate {
  open = false
  readonly #all: number
  #count = 0
  #full = () => {}

  constructor(all: number) {
    this.#all = all
  }

  readonly dial: Dial = (url, events) =>
    nodeDial(url, {
      ...events,
      text: (frame) => {
        if (!this.open || !/^\{"type":"(push|state_change)"/.test(frame)) events.text(frame)
        else if (++this.#count === this.#all) this.#full()
      },
    })

  /** Milliseconds of each round, one after the other, from its start until everybody has the frame and the reader believes it. */
  async measure(write: (i: number) => Promise<unknown>, read: () => Promise<void>): Promise<number[]> {
    const samples: number[] = []
    for (let i = 0; i < warmUp + measured; i++) {
      this.#count = 0
      const everybody = new Promise<void>((resolve) => (this.#full = resolve))
      const believed = read()
      const begin = performance.now()
      const done = write(i)
      await Promise.all([everybody, believed])
      if (i >= warmUp) samples.push(performance.now() - begin)
      await done
    }
    return samples
  }
}
