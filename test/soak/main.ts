// `pnpm test:soak [--minutes M] [--sessions N] [--rate R] [--seed N]`: sessions come and leave, and nothing of them remains in the broker.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { soak } from './run.ts'

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '0.5' },
    sessions: { type: 'string', default: '200' },
    rate: { type: 'string', default: '200' },
    seed: { type: 'string', default: '1' },
  },
})
const [minutes, sessions, rate, seed] = [values.minutes, values.sessions, values.rate, values.seed].map(Number) as [number, number, number, number]
if (![minutes, sessions, rate, seed].every((value) => value > 0)) {
  console.error('usage: test:soak [--minutes M] [--sessions N] [--rate messages per second] [--seed N]')
  process.exit(2)
}
const folder = mkdtempSync(join(tmpdir(), 'claudemesh-soak-'))
console.log(`soak: ${sessions} sessions, ${rate} messages per second, ${minutes} minutes, seed ${seed}`)
const start = Date.now()
const found = await soak({ minutes, sessions, rate, seed, folder }, (line) =>
  console.log(`${String(Math.round((Date.now() - start) / 1000)).padStart(5)} s  ${line}`),
)
for (const one of found) console.error(`LEFT ${one}`)
if (found.length > 0) console.error(`logs are in ${folder}`)
else rmSync(folder, { recursive: true, force: true })
process.exitCode = found.length === 0 ? 0 : 1
