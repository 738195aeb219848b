import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createMesh, Mesh } from '@claudemesh/client'
import { nodeDial, nodeRandom } from '@claudemesh/client/node'
import { seedOf, sessionKey, toB64u } from '@claudemesh/crypto'
import { systemClock } from '@claudemesh/protocol'
import { WebSocket } from 'ws'
import { caller, end, message, start } from './children.ts'
import { percentile, type Row } from './table.ts'

const perSecond = 200
const warmUp = 300
const measured = 1200
const text = 'x'.repeat(1000)

/** Sends message number `i`; whoever receives it calls `Meter.arrived(i)`. */
type Send = (i: number) => void

/**
 * From a tool call written to the stdin of a real MCP child to the `message` event of the peer's client, 1 KB at 200/s;
 * broker (PGlite on disk), MCP server and peer are three processes. Baseline: a plain `ws` relay in a process of its own.
 */
export async function latencyBench(): Promise<Row[]> {
  const plain = await relayRun()
  const mesh = await meshRun()
  const row = (metric: string, p: number, most: number): Row => {
    const value = percentile(mesh, p)
    const baseline = percentile(plain, p)
    return { bench: 'latency', metric, value, unit: 'ms', baseline, ratio: value / baseline, goal: `≤ ${most} ms`, met: value <= most }
  }
  return [row('tool call to peer, 200/s, p50', 0.5, 1.5), row('tool call to peer, 200/s, p99', 0.99, 10)]
}

async function meshRun(): Promise<number[]> {
  const directory = await mkdtemp(join(tmpdir(), 'claudemesh-latency-'))
  const children: ChildProcess[] = []
  try {
    const broker = start(part('broker'), children)
    broker.send({ directory })
    const { url } = await message(broker)
    const wsUrl = `${url}/ws`
    const clock = systemClock
    const founder = await createMesh({ url: wsUrl, slug: 'bench', name: 'Bench', clock, dial: nodeDial, random: nodeRandom })
    const { member, mesh, root, slug, chain } = founder
    await using bob = await Mesh.connect({
      url: wsUrl,
      identity: founder,
      session: { key: sessionKey(nodeRandom(32)), incarnation: 1, id: 'bob' },
      name: 'Bob',
      clock,
      dial: nodeDial,
      random: nodeRandom,
    })
    const mcp = start(part('mcp'), children)
    mcp.send({ url: wsUrl, identity: { mesh, root, slug, chain, seed: toB64u(seedOf(member)) } })
    await message(mcp)
    while (bob.peers().length === 0) await new Promise((resolve) => bob.on('peer', resolve))
    const call = caller(mcp)
    await call('initialize', { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'bench', version: '1' } })
    const meter = new Meter()
    bob.on('message', (received) => {
      meter.arrived(Number.parseInt(received.text, 10))
      bob.surfaced([received])
    })
    return await meter.run((i) => void call('tools/call', { name: 'send_message', arguments: { to: 'Bob', message: `${i} ${text}` } }))
  } finally {
    await end(children)
    await rm(directory, { recursive: true, force: true })
  }
}

async function relayRun(): Promise<number[]> {
  const children: ChildProcess[] = []
  try {
    const relay = start(part('relay'), children)
    const { url } = await message(relay)
    const sockets = [0, 1].map(() => new WebSocket(url, { perMessageDeflate: false }))
    await Promise.all(sockets.map((socket) => once(socket, 'open')))
    const [from, to] = sockets
    const meter = new Meter()
    to?.on('message', (data: Buffer) => meter.arrived(Number.parseInt(data.toString('latin1', 0, 12), 10)))
    const samples = await meter.run((i) => from?.send(`${i} ${text}`))
    for (const socket of sockets) socket.close()
    return samples
  } finally {
    await end(children)
  }
}

/** Offers messages at an even rate and takes the time of each. */
class Meter {
  readonly #sent: number[] = []
  readonly #samples: number[] = []
  #done = () => {}

  run(send: Send): Promise<number[]> {
    const begin = performance.now()
    const total = warmUp + measured
    const timer = setInterval(() => {
      const due = Math.min(total, Math.floor(((performance.now() - begin) / 1000) * perSecond))
      while (this.#sent.length < due) {
        const i = this.#sent.length
        this.#sent.push(performance.now())
        send(i)
      }
      if (due === total) clearInterval(timer)
    }, 1)
    return new Promise((resolve) => (this.#done = () => resolve(this.#samples)))
  }

  arrived(i: number): void {
    const sent = this.#sent[i]
    if (sent === undefined) return
    if (i >= warmUp) this.#samples.push(performance.now() - sent)
    if (this.#samples.length === measured) this.#done()
  }
}

const part = (name: string) => new URL(`latency/${name}.ts`, import.meta.url)
