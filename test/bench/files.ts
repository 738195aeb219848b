// One file of 1 GiB up and down over loopback, beside sealing and opening alone in the same run.
import { fork, type ChildProcess } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createReadStream, mkdtempSync, openSync, rmSync, writeSync, closeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { createMesh, Mesh } from '@claudemesh/client'
import { LocalFiles, nodeDial, nodeRandom, nodeTransfer } from '@claudemesh/client/node'
import { FileStream, ready, sessionKey } from '@claudemesh/crypto'
import { systemClock } from '@claudemesh/protocol'
import type { Row } from './table.ts'

const mib = 1024 ** 2
const size = 1024 * mib
const chunk = 65_536

export async function filesBench(): Promise<Row[]> {
  await ready()
  const folder = mkdtempSync(join(tmpdir(), 'claudemesh-bench-'))
  const child = fork(new URL('./files/broker.ts', import.meta.url), [join(folder, 'objects')], { execArgv: ['--expose-gc'] })
  try {
    const [{ url }] = (await once(child, 'message')) as [{ url: string }]
    const path = join(folder, 'big.bin')
    fill(path)
    const raw = rawRates()
    const identity = await createMesh({ url: `${url}/ws`, slug: 'bench', name: 'Bench', clock: systemClock, dial: nodeDial, random: nodeRandom })
    await using mesh = await Mesh.connect({
      url: `${url}/ws`,
      identity,
      session: { key: sessionKey(nodeRandom(32)), incarnation: 1, id: 'bench' },
      name: 'Bench',
      clock: systemClock,
      dial: nodeDial,
      random: nodeRandom,
      transfer: nodeTransfer,
    })
    const local = new LocalFiles({ cwd: folder, home: folder, own: [] })
    const before = await memory(child)
    await using source = await local.open(path)
    const [shared, up] = await timed(() => mesh.files.share(source))
    const [saved, down] = await timed(async () => local.save(mesh.files, await mesh.files.find(shared.id), 'copy.bin'))
    const after = await memory(child)
    if ((await hashOf(saved)) !== (await hashOf(path))) throw new Error('the copy differs')
    return [
      rate('upload of 1 GiB', up, raw.seal),
      rate('download of 1 GiB', down, raw.open),
      {
        bench: 'files',
        metric: 'broker RSS growth, peak',
        value: Math.max(0, after.peak - before.rss) / mib,
        unit: 'MiB',
        goal: '< 64',
        met: after.peak - before.rss < 64 * mib,
      },
    ]
  } finally {
    child.disconnect()
    await once(child, 'exit')
    rmSync(folder, { recursive: true, force: true })
  }
}

function rate(metric: string, seconds: number, baseline: number): Row {
  const value = size / mib / seconds
  return { bench: 'files', metric, value, unit: 'MiB/s', baseline, ratio: value / baseline, goal: '≥ 0.6 of secretstream alone', met: value / baseline >= 0.6 }
}

/** Sealing and opening alone, in MiB per second. */
function rawRates(): { seal: number; open: number } {
  const file = { id: `f_${'a'.repeat(26)}` as never, key: nodeRandom(32) }
  const plain = nodeRandom(chunk)
  const count = (128 * mib) / chunk
  const stream = FileStream.start(file, nodeRandom(24))
  const sealed: Uint8Array[] = []
  const start = performance.now()
  for (let i = 0; i < count; i++) sealed.push(stream.seal(plain, i === count - 1))
  const middle = performance.now()
  const reader = FileStream.of(file, stream.head)
  for (const [i, piece] of sealed.entries()) reader.open(piece, i === count - 1)
  const end = performance.now()
  return { seal: 128 / ((middle - start) / 1000), open: 128 / ((end - middle) / 1000) }
}

async function timed<T>(work: () => Promise<T>): Promise<[T, number]> {
  const start = performance.now()
  const result = await work()
  return [result, (performance.now() - start) / 1000]
}

async function memory(child: ChildProcess): Promise<{ rss: number; peak: number }> {
  child.send('memory')
  return ((await once(child, 'message')) as [{ rss: number; peak: number }])[0]
}

function fill(path: string): void {
  const file = openSync(path, 'w')
  const piece = randomBytes(mib)
  for (let i = 0; i < size / mib; i++) {
    piece.writeUInt32BE(i)
    writeSync(file, piece)
  }
  closeSync(file)
}

async function hashOf(path: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const piece of createReadStream(path, { highWaterMark: mib })) hash.update(piece as Buffer)
  return hash.digest('hex')
}
