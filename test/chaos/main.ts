// `pnpm test:chaos [--seed N] [--seconds S] [--nodes 1..3] [--store postgres|pglite] [--keep]`: what was promised holds while everything breaks.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { run } from './run.ts'

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: String(Math.floor(Math.random() * 2 ** 31)) },
    seconds: { type: 'string', default: '40' },
    nodes: { type: 'string', default: '1' },
    store: { type: 'string', default: 'postgres' },
    keep: { type: 'boolean', default: false },
  },
})
const [seed, seconds, nodes] = [values.seed, values.seconds, values.nodes].map(Number) as [number, number, number]
const store = values.store
if (
  ![seed, seconds].every(Number.isSafeInteger) ||
  ![1, 2, 3].includes(nodes) ||
  (store !== 'postgres' && store !== 'pglite') ||
  (store === 'pglite' && nodes > 1)
) {
  console.error('usage: test:chaos [--seed N] [--seconds S] [--nodes 1..3] [--store postgres|pglite] [--keep]; several nodes need postgres')
  process.exit(2)
}

const folder = mkdtempSync(join(tmpdir(), 'claudemesh-chaos-'))
console.log(`chaos: seed ${seed}, ${seconds} s, ${nodes} ${nodes === 1 ? 'node' : 'nodes'} on ${store}`)
const { violations, summary } = await run({ seed, seconds, nodes, store, folder })
console.log(summary)
for (const violation of violations.slice(0, 40)) console.error(`VIOLATION ${violation}`)
if (violations.length > 40) console.error(`… and ${violations.length - 40} more`)
if (violations.length > 0 || values.keep) console.error(`logs are in ${folder}`)
else rmSync(folder, { recursive: true, force: true })
console.log(
  violations.length === 0
    ? 'nothing lost, repeated, misrouted or overstated'
    : `${violations.length} violations; replay with --seed ${seed} --nodes ${nodes} --store ${store}`,
)
process.exitCode = violations.length === 0 ? 0 : 1
