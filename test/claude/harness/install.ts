import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { join } from 'node:path'

const cache = fileURLToPath(new URL('../../../.cache/claude-code', import.meta.url))

/** The folder that holds the `claude` executable. */
export const claudeBin = join(cache, 'node_modules', '.bin')

/** Installs Claude Code into the cache folder when it is not there (some 400 MB). */
export function installClaude(): void {
  if (existsSync(join(claudeBin, 'claude'))) return
  process.stdout.write('installing @anthropic-ai/claude-code@latest (some 400 MB, once)…\n')
  mkdirSync(cache, { recursive: true })
  writeFileSync(join(cache, 'package.json'), '{ "private": true }\n')
  const npm = spawnSync('npm', ['install', '--no-audit', '--no-fund', '@anthropic-ai/claude-code@latest'], { cwd: cache, stdio: 'inherit' })
  if (npm.status !== 0) throw new Error(`npm could not install @anthropic-ai/claude-code (exit ${npm.status})`)
}
