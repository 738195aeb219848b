// `pnpm bench [name…] [--json]`: every figure beside its baseline of the same run.
import type { Row } from './table.ts'
import { printRows } from './table.ts'

const benches: Record<string, () => Promise<Row[]>> = {
  cluster: async () => (await import('./cluster.ts')).clusterBench(),
  crypto: async () => (await import('./crypto.ts')).cryptoBench(),
  join: async () => (await import('./join.ts')).joinBench(),
  hook: async () => (await import('./hook.ts')).hookBench(),
  files: async () => (await import('./files.ts')).filesBench(),
  latency: async () => (await import('./latency.ts')).latencyBench(),
  launch: async () => (await import('./launch.ts')).launchBench(),
  memory: async () => (await import('./memory.ts')).memoryBench(),
  overload: async () => (await import('./overload.ts')).overloadBench(),
  relay: async () => (await import('./relay.ts')).relayBench(),
  fanout: async () => (await import('./relay.ts')).fanoutBench(),
  durable: async () => (await import('./durable.ts')).durableBench(),
  embedded: async () => (await import('./durable.ts')).embeddedBench(),
  idle: async () => (await import('./idle.ts')).idleBench(),
  state: async () => (await import('./state.ts')).stateBench(),
  start: async () => (await import('./start.ts')).startBench(),
}

/** With gigabytes on the disk, or with the real Claude Code, which they install (some 400 MB): only when named. */
const whenNamed: Record<string, () => Promise<Row[]>> = {
  filled: async () => (await import('./filled.ts')).filledBench(),
  tokens: async () => (await import('./tokens.ts')).tokensBench(),
  wake: async () => (await import('./wake.ts')).wakeBench(),
}

const args = process.argv.slice(2)
const json = args.includes('--json')
const names = args.filter((a) => !a.startsWith('--'))
const all = { ...benches, ...whenNamed }
const unknown = names.find((name) => !(name in all))
if (unknown !== undefined) {
  console.error(`no bench ${JSON.stringify(unknown)}; there are: ${Object.keys(all).join(' ')}`)
  process.exit(2)
}
const rows: Row[] = []
for (const [name, bench] of Object.entries(all)) {
  if (names.length === 0 ? name in whenNamed : !names.includes(name)) continue
  if (process.stderr.isTTY) process.stderr.write(`measuring ${name} …\n`)
  rows.push(...(await bench()))
}
printRows(rows, json)
