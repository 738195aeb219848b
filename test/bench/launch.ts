import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { percentile, type Row } from './table.ts'

const cli = fileURLToPath(new URL('../../apps/cli/', import.meta.url))

/** From the start of the built `claudemesh launch` to the start of `claude`, against an empty Node process. */
export function launchBench(): Row[] {
  const main = join(cli, 'dist/main.js')
  if (!existsSync(main)) execFileSync(process.execPath, [join(cli, 'build.ts')])
  const folder = mkdtempSync(join(tmpdir(), 'claudemesh-bench-'))
  const bin = join(folder, 'bin')
  mkdirSync(bin)
  // Says when it was started.
  writeFileSync(join(bin, 'claude'), '#!/bin/sh\ndate +%s%N\n', { mode: 0o755 })
  const env = { HOME: folder, CLAUDEMESH_HOME: join(folder, 'mesh'), PATH: [bin, dirname(process.execPath), process.env['PATH']].join(delimiter) }
  const run = (...args: string[]) => spawnSync(process.execPath, args, { env, encoding: 'utf8', input: '' })
  try {
    run(main, 'up', '--port', '0', '--detach')
    const ours: number[] = []
    const empty: number[] = []
    for (let i = 0; i < 11; i++) {
      const start = performance.now()
      run('-e', '0')
      empty.push(performance.now() - start)
      const launched = performance.timeOrigin + performance.now()
      ours.push(Number(run(main, 'launch', '--name', 'Bench', '-y').stdout) / 1e6 - launched)
    }
    const [value, baseline] = [percentile(ours, 0.5), percentile(empty, 0.5)]
    return [
      {
        bench: 'launch',
        metric: 'claudemesh launch starts claude (median)',
        value,
        unit: 'ms',
        baseline,
        ratio: value / baseline,
        goal: '≤ 500 ms',
        met: value <= 500,
      },
    ]
  } finally {
    run(main, 'down')
    rmSync(folder, { recursive: true, force: true })
  }
}
