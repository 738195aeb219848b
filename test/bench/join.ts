import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { Mesh, type Identity } from '@claudemesh/client'
import { nodeDial, nodeRandom } from '@claudemesh/client/node'
import { fromB64u, memberKey, sessionKey } from '@claudemesh/crypto'
import { systemClock, type MeshId, type RootPubkey } from '@claudemesh/protocol'
import { end, message, start } from './children.ts'
import { percentile, type Row } from './table.ts'

const crowded = 1000
const warmUp = 5
const measured = 40
const most = { join: 50, frames: 1 }

/** What one more session of a mesh sees: milliseconds until it may speak to anybody by name, until it has verified everybody, and the frames that each of the others got for it. */
interface Joins {
  readonly usable: number[]
  readonly verified: number[]
  readonly framesEach: number
}

/** A session joins a mesh of 1,000 that 50 members opened; broker on disk and crowd in processes of their own. Baseline: the same in a mesh of one. */
export async function joinBench(): Promise<Row[]> {
  const [alone, among] = [await joins(1), await joins(crowded)]
  const row = (metric: string, p: number, of: 'usable' | 'verified'): Row => {
    const [value, baseline] = [percentile(among[of], p), percentile(alone[of], p)]
    const goal = of === 'usable' && p === 0.5 ? { goal: `<= ${most.join} ms`, met: value <= most.join } : {}
    return { bench: 'join', metric, value, unit: 'ms', baseline, ratio: value / baseline, ...goal }
  }
  const { framesEach } = among
  return [
    row(`a mesh of ${crowded}: a peer found by name, p50`, 0.5, 'usable'),
    row(`a mesh of ${crowded}: a peer found by name, p99`, 0.99, 'usable'),
    row(`everybody of them verified at once, p50`, 0.5, 'verified'),
    {
      bench: 'join',
      metric: 'frames to each of them, for one that joins and leaves',
      value: framesEach,
      unit: 'frames',
      baseline: alone.framesEach,
      ratio: framesEach / alone.framesEach,
      goal: `<= ${most.frames} x`,
      met: framesEach <= most.frames * alone.framesEach,
    },
  ]
}

async function joins(size: number): Promise<Joins> {
  const directory = await mkdtemp(join(tmpdir(), 'claudemesh-join-'))
  const children: ChildProcess[] = []
  try {
    const broker = start(new URL('latency/broker.ts', import.meta.url), children)
    broker.send({ directory })
    const { url } = await message(broker)
    const crowd = start(new URL('join/crowd.ts', import.meta.url), children)
    crowd.send({ url, size })
    const [told] = (await once(crowd, 'message')) as [{ mesh: MeshId; root: RootPubkey; seed: string; chain: string[] }]
    const identity = { mesh: told.mesh, root: told.root, slug: 'test', member: memberKey(fromB64u(told.seed)), chain: told.chain }
    const found: Omit<Joins, 'framesEach'> = { usable: [], verified: [] }
    const framesOf = async () => {
      crowd.send('frames')
      return ((await once(crowd, 'message')) as [{ frames: number }])[0].frames
    }
    let before = 0
    for (let i = 0; i < warmUp + measured; i++) {
      if (i === warmUp) before = await framesOf()
      const { usable, verified } = await joinOnce(`${url}/ws`, identity, size)
      if (i < warmUp) continue
      found.usable.push(usable)
      found.verified.push(verified)
    }
    return { ...found, framesEach: ((await framesOf()) - before) / measured / size }
  } finally {
    await end(children)
    await rm(directory, { recursive: true, force: true })
  }
}

async function joinOnce(url: string, identity: Identity, size: number): Promise<{ usable: number; verified: number }> {
  const began = performance.now()
  const session = { key: sessionKey(nodeRandom(32)), incarnation: 1, id: 'joins' }
  const mesh = await Mesh.connect({ url, identity, session, name: 'Joins', clock: systemClock, dial: nodeDial, random: nodeRandom })
  mesh.resolve(`Peer ${size - 1}`)
  const usable = performance.now() - began
  const { length } = mesh.peers()
  const verified = performance.now() - began
  if (length !== size) throw new Error(`${length} peers instead of ${size}`)
  await mesh.close({ bye: true })
  return { usable, verified }
}
