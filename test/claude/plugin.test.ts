import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { prepareHome, scrubbedEnv } from './harness/claude-home.ts'
import { claudeBin } from './harness/install.ts'

const repository = fileURLToPath(new URL('../..', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'claudemesh-plugin-'))

beforeAll(() => {
  const project = join(folder, 'project')
  mkdirSync(project)
  prepareHome(folder, project)
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

function claude(...args: string[]): string {
  const env = scrubbedEnv({ home: folder, apiUrl: 'http://127.0.0.1:9', path: process.env['PATH'] ?? '' })
  const run = spawnSync(join(claudeBin, 'claude'), args, { env, cwd: join(folder, 'project'), encoding: 'utf8' })
  expect(run, `claude ${args.join(' ')}`).toMatchObject({ status: 0 })
  return run.stdout
}

test('Claude Code accepts the plugin and the marketplace that offers it', () => {
  expect(claude('plugin', 'validate', join(repository, 'apps/cli/plugin'))).toContain('Validation passed')
  expect(claude('plugin', 'validate', repository)).toContain('Validation passed')
})

test('the plugin installs from this repository and is enabled', () => {
  claude('plugin', 'marketplace', 'add', repository)
  claude('plugin', 'install', 'claudemesh@claudemesh')
  expect(claude('plugin', 'list')).toMatch(/claudemesh@claudemesh[^]*enabled/)
})
