import { createBroker } from '@claudemesh/broker'
import { createMesh, Mesh, type Identity, type MemoryCache } from '@claudemesh/client'
import { nodeDial, nodeRandom } from '@claudemesh/client/node'
import { sessionKey } from '@claudemesh/crypto'
import { openStore } from '@claudemesh/drivers'
import { systemClock } from '@claudemesh/protocol'
import { sql } from 'drizzle-orm'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { memoryCache } from '../../apps/cli/src/home/memory-cache.ts'
import { postgresUrl, startPostgres } from '../harness/postgres.ts'
import { corpus, judged } from '../memory/corpus.ts'
import { testBroker, TestMesh } from '../broker/kit.ts'
import { percentile, type Row } from './table.ts'

const sealed = 10_000
const plain = { meshes: 20, each: 5000 } as const

/** `recall` over a mesh's memories in both forms: searched by the client, warm and from its cache on disk, and by the broker. */
export async function memoryBench(): Promise<Row[]> {
  return [...(await sealedRows()), ...(await plainRows())]
}

/** A memory of some 60 words, its sentences taken from the corpus, with names of its own. */
function text(i: number): string {
  const pick = (step: number) => corpus[(i * step + step) % corpus.length]?.content ?? ''
  return `${pick(1)} ${pick(7)} Case ${i}, service s${i % 977}, ticket t${i * 31}.`
}

const row = (metric: string, samples: number[], most: number): Row => {
  const value = percentile(samples, 0.5)
  return { bench: 'memory', metric, value, unit: 'ms', goal: `≤ ${most} ms`, met: value <= most }
}

async function sealedRows(): Promise<Row[]> {
  const home = mkdtempSync(join(tmpdir(), 'claudemesh-memory-'))
  const store = await openStore('pglite:')
  try {
    await using broker = await createBroker({ store, rates: false })
    const founder = await createMesh({ url: `${broker.url}/ws`, slug: 'bench', name: 'Bench', clock: systemClock, dial: nodeDial, random: nodeRandom })
    await using writer = await connect(founder, broker.url)
    for (let i = 0; i < sealed; i += 50)
      await Promise.all(Array.from({ length: 50 }, (_, k) => writer.memory.remember(text(i + k), corpus[(i + k) % corpus.length]?.tags)))
    const cache = () => memoryCache(home, founder.mesh)
    const warm: number[] = []
    const first: number[] = []
    const cold: number[] = []
    {
      await using reader = await connect(founder, broker.url, cache())
      first.push(await timed(() => reader.memory.recall('payments rate limit')))
      for (const { query } of judged) warm.push(await timed(() => reader.memory.recall(query)))
    }
    for (let i = 0; i < 7; i++) {
      await using reader = await connect(founder, broker.url, cache())
      cold.push(await timed(() => reader.memory.recall('payments rate limit')))
    }
    const count = sealed.toLocaleString('en')
    return [
      row(`recall over ${count} sealed memories, warm (median of ${judged.length} queries)`, warm, 20),
      row(`first recall over ${count} sealed memories, from the cache (median of 7)`, cold, 400),
      { bench: 'memory', metric: `first recall over ${count} sealed memories, from the broker`, value: first[0] ?? 0, unit: 'ms' },
    ]
  } finally {
    await store[Symbol.asyncDispose]()
    rmSync(home, { recursive: true, force: true })
  }
}

function connect(identity: Identity, url: string, cache?: MemoryCache): Promise<Mesh> {
  const session = { key: sessionKey(nodeRandom(32)), incarnation: 1, id: 'bench' }
  const options = { url: `${url}/ws`, identity, session, name: 'Bench', clock: systemClock, dial: nodeDial, random: nodeRandom }
  return Mesh.connect({ ...options, ...(cache ? { memoryCache: cache } : {}) })
}

async function plainRows(): Promise<Row[]> {
  await using server = await startPostgres()
  const url = await postgresUrl(server.url)
  const broker = await testBroker(url)
  try {
    const meshes = await Promise.all(Array.from({ length: plain.meshes }, () => new TestMesh(broker.url, broker.clock).create()))
    const store = await openStore(url)
    for (const [m, mesh] of meshes.entries()) {
      const texts = Array.from({ length: plain.each }, (_, i) => text(m * plain.each + i))
      await store.db.execute(sql`insert into mesh.writer (mesh_id, hash, chain) values (${mesh.id}, 'w', ${sql.raw(`array['a','b']`)})`)
      await store.db.execute(sql`insert into mesh.memory_head values (${mesh.id}, ${plain.each}::int, ${plain.each}::int, ${plain.each}::int)`)
      await store.db.execute(sql`
        insert into mesh.memory (mesh_id, id, seq, token, content, tags, tag_words, size_bytes, writer_hash, remembered_by, remembered_by_name, remembered_at)
        select ${mesh.id}, lpad(n::text, 22, 'A'), n, 'a.b', content, '{}', '', 1, 'w', 'x', 'x', 1 from unnest(string_to_array(${texts.join('\n')}, E'\n')) with ordinality as t(content, n)`)
    }
    await store.db.execute(sql`vacuum analyze mesh.memory`)
    await store[Symbol.asyncDispose]()
    const [mesh] = meshes as [TestMesh]
    await using peer = await mesh.peer('Bench')
    mesh.allow = { ...mesh.allow, memory: 'plain' }
    await peer.wire.ask({ type: 'set_policy', policy: mesh.makePolicy(2) })
    const ask = (query: string) => timed(() => peer.wire.ask({ type: 'recall', query }))
    const usual: number[] = []
    for (const { query } of judged) usual.push(await ask(query))
    const common: number[] = []
    for (let i = 0; i < 20; i++) common.push(await ask('case service ticket'))
    const among = `${(plain.meshes * plain.each).toLocaleString('en')} plain memories of ${plain.meshes} meshes on PostgreSQL`
    return [
      row(`recall among ${among} (median of ${judged.length} queries)`, usual, 20),
      row('the same for words that stand in every memory (median of 20)', common, 20),
    ]
  } finally {
    await broker[Symbol.asyncDispose]()
  }
}

async function timed(task: () => Promise<unknown>): Promise<number> {
  const start = performance.now()
  await task()
  return performance.now() - start
}
