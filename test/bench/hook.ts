import type { ChildProcess } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createMesh } from '@claudemesh/client'
import { nodeDial, nodeRandom } from '@claudemesh/client/node'
import { seedOf, toB64u } from '@claudemesh/crypto'
import { systemClock } from '@claudemesh/protocol'
import { caller, end, message, start } from './children.ts'
import { percentile, type Row } from './table.ts'

const warmUp = 100
const measured = 500
/** As in a turn with tools. */
const events = ['UserPromptSubmit', 'PreToolUse', 'PostToolUse', 'Stop']

/** One hook event, from the call on the stdin of a real MCP server to its answer, beside a server of the same kind that does nothing, each in its own process. */
export async function hookBench(): Promise<Row[]> {
  const directory = await mkdtemp(join(tmpdir(), 'claudemesh-hook-'))
  const children: ChildProcess[] = []
  try {
    const broker = start(new URL('latency/broker.ts', import.meta.url), children)
    broker.send({ directory })
    const url = `${(await message(broker)).url}/ws`
    const founder = await createMesh({ url, slug: 'bench', name: 'Bench', clock: systemClock, dial: nodeDial, random: nodeRandom })
    const { member, mesh, root, slug, chain } = founder
    const ours = start(new URL('latency/mcp.ts', import.meta.url), children)
    ours.send({ url, identity: { mesh, root, slug, chain, seed: toB64u(seedOf(member)) } })
    const noop = start(new URL('hook/noop.ts', import.meta.url), children)
    await Promise.all([message(ours), message(noop)])
    const baseline = await run(noop)
    const value = await run(ours)
    const row = (metric: string, p: number): Row => {
      const [a, b] = [percentile(value, p), percentile(baseline, p)]
      return { bench: 'hook', metric, value: a, unit: 'ms', baseline: b, ratio: a / b }
    }
    const median = row('hook event to answer, p50', 0.5)
    return [{ ...median, goal: '≤ 15 ms', met: median.value <= 15 }, row('hook event to answer, p99', 0.99)]
  } finally {
    await end(children)
    await rm(directory, { recursive: true, force: true })
  }
}

async function run(child: ChildProcess): Promise<number[]> {
  const call = caller(child)
  await call('initialize', { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'bench', version: '1' } })
  const samples: number[] = []
  for (let i = 0; i < warmUp + measured; i++) {
    const event = events[i % events.length]
    const begin = performance.now()
    await call('tools/call', { name: 'hook_event', arguments: { event, prompt: 'mend the parser', transcript: '/nowhere' } })
    if (i >= warmUp) samples.push(performance.now() - begin)
  }
  return samples
}
