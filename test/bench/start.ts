import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { percentile, type Row } from './table.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const initialize = JSON.stringify({
  jsonrpc: '2.0',
  id: 1,
  method: 'initialize',
  params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'bench', version: '1' } },
})

/** Process start of the built `claudemesh mcp` to its answer to `initialize`, against an empty Node process. */
export async function startBench(): Promise<Row[]> {
  const main = join(root, 'apps/cli/dist/main.js')
  if (!existsSync(main)) await finish([join(root, 'apps/cli/build.ts')])
  const home = await mkdtemp(join(tmpdir(), 'claudemesh-bench-'))
  try {
    const ours: number[] = []
    const empty: number[] = []
    for (let i = 0; i < 11; i++) {
      empty.push(await finish(['-e', '0']))
      ours.push(await answered(main, home))
    }
    const value = percentile(ours, 0.5)
    const baseline = percentile(empty, 0.5)
    return [
      {
        bench: 'start',
        metric: 'claudemesh mcp answers initialize (median)',
        value,
        unit: 'ms',
        baseline,
        ratio: value / baseline,
        goal: '≤ 250 ms',
        met: value <= 250,
      },
    ]
  } finally {
    await rm(home, { recursive: true, force: true })
  }
}

function finish(args: string[]): Promise<number> {
  const start = performance.now()
  return new Promise((resolve, reject) => {
    spawn(process.execPath, args, { stdio: 'ignore', cwd: root })
      .once('error', reject)
      .once('exit', (code) => (code === 0 ? resolve(performance.now() - start) : reject(new Error(`${args[0]} exited ${code}`))))
  })
}

function answered(main: string, home: string): Promise<number> {
  const start = performance.now()
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [main, 'mcp'], {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: { PATH: process.env['PATH'], HOME: home, CLAUDEMESH_HOME: join(home, 'mesh') },
    })
    child.once('error', reject)
    child.stdout.once('data', () => {
      resolve(performance.now() - start)
      child.kill()
    })
    child.once('exit', (code) => reject(new Error(`mcp exited ${code} before it answered`)))
    child.stdin.write(`${initialize}\n`)
  })
}
