// `pnpm test:soak [--minutes M] [--sessions N] [--rate R] [--load SHARE] [--nodes 1..3] [--seed N] [--json]`: sessions come and leave, and nothing of them remains in the broker.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { soak, type Soaked } from './run.ts'

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '0.5' },
    sessions: { type: 'string', default: '200' },
    rate: { type: 'string', default: '200' },
    load: { type: 'string', default: '0' },
    nodes: { type: 'string', default: '1' },
    seed: { type: 'string', default: '1' },
    json: { type: 'boolean', default: false },
  },
})
const [minutes, sessions, rate, seed] = [values.minutes, values.sessions, values.rate, values.seed].map(Number) as [number, number, number, number]
const [load, nodes] = [Number(values.load), Number(values.nodes)]
if (![minutes, sessions, rate, seed].every((value) => value > 0) || !(load >= 0 && load <= 1) || ![1, 2, 3].includes(nodes)) {
  console.error(
    'usage: test:soak [--minutes M] [--sessions N] [--rate messages per second] [--load share of what the broker takes, 0..1] [--nodes 1..3] [--seed N] [--json]',
  )
  process.exit(2)
}

/** With --json nothing but the result goes to standard output. */
const say = values.json ? console.error : console.log
const folder = mkdtempSync(join(tmpdir(), 'claudemesh-soak-'))
const start = Date.now()
const more = load > 0 ? ` and ${load} of what the broker takes beside them` : ''
say(`soak: ${sessions} sessions, ${rate} messages per second${more}, ${minutes} minutes${nodes > 1 ? `, ${nodes} nodes` : ''}, seed ${seed}`)

/** A run that hangs has failed; what it started ends with this process. */
const grace = 10 * 60_000
setTimeout(
  () => {
    console.error(`FAILED it is not over ${grace / 60_000} minutes after its time; logs are in ${folder}`)
    process.exit(1)
  },
  minutes * 60_000 + grace,
).unref()

let soaked: Soaked | undefined
try {
  soaked = await soak({ minutes, sessions, rate, load, nodes, seed, folder }, (line) =>
    say(`${String(Math.round((Date.now() - start) / 1000)).padStart(5)} s  ${line}`),
  )
} catch (error) {
  console.error('FAILED', error)
}
const failed = soaked === undefined || soaked.found.length > 0
for (const one of soaked?.found ?? []) console.error(`LEFT ${one}`)
if (failed) console.error(`logs are in ${folder}`)
else rmSync(folder, { recursive: true, force: true })
if (values.json) console.log(JSON.stringify({ minutes, sessions, rate, load, nodes, seed, passed: !failed, ...soaked }))
else say(failed ? 'the soak failed' : 'nothing is left')
process.exitCode = failed ? 1 : 0
