import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Running } from './machine.ts'

const pack = fileURLToPath(new URL('../../apps/cli/pack.ts', import.meta.url))
const folder = realpathSync(mkdtempSync(join(tmpdir(), 'claudemesh-package-')))
const prefix = join(folder, 'prefix')
const bin = join(folder, 'bin')
const record = join(folder, 'record.json')

/** Stands in for Claude Code: writes down how it was started. */
const stub = `#!/usr/bin/env node
require('node:fs').writeFileSync(process.env.RECORD, JSON.stringify({ argv: process.argv.slice(2), plugin: require('node:fs').readdirSync(process.argv[3]) }))
`

const clean = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(ANTHROPIC_|CLAUDE|INIT_CWD|npm_|VITEST|NODE_OPTIONS)/.test(name)))
const path = [join(prefix, 'bin'), bin, dirname(process.execPath), process.env['PATH']].join(delimiter)
const npm = (...args: string[]) =>
  execFileSync('npm', [...args, '--no-audit', '--no-fund', '--no-update-notifier', '--offline'], {
    env: { ...clean, npm_config_cache: join(folder, 'cache') },
    encoding: 'utf8',
    stdio: 'pipe',
  })

const envOf = (user: string) => ({ ...clean, PATH: path, CLAUDEMESH_HOME: join(folder, user), HOME: folder, RECORD: record, NO_COLOR: '1' })

/** What the installed command prints for one user; fails when it fails. */
function claudemesh(user: string, ...args: string[]): string {
  const ran = spawnSync('claudemesh', args, { cwd: folder, env: envOf(user), encoding: 'utf8', input: '' })
  if (ran.status !== 0) throw new Error(`claudemesh ${args.join(' ')} ended with ${ran.status}: ${ran.stderr}`)
  return ran.stdout
}
const json = (user: string, ...args: string[]) => JSON.parse(claudemesh(user, ...args, '--json')) as Record<string, unknown>

let packed: { tarball: string; size: number; unpacked: number }

beforeAll(() => {
  packed = JSON.parse(execFileSync(process.execPath, [pack, folder], { env: clean, encoding: 'utf8', stdio: 'pipe' })) as typeof packed
  npm('install', '--global', '--prefix', prefix, packed.tarball)
  mkdirSync(bin)
  writeFileSync(join(bin, 'claude'), stub)
  chmodSync(join(bin, 'claude'), 0o755)
})
afterAll(() => {
  claudemesh('anna', 'down')
  rmSync(folder, { recursive: true, force: true })
})

test('the tarball stands alone: nothing to resolve, nothing run at its installation, no link into the workspace', () => {
  const root = join(prefix, 'lib', 'node_modules')
  expect(readdirSync(root)).toEqual(['claudemesh'])
  const manifest = JSON.parse(readFileSync(join(root, 'claudemesh', 'package.json'), 'utf8')) as Record<string, unknown>
  expect(manifest).toMatchObject({ name: 'claudemesh', bin: { claudemesh: 'lib/main.js' }, engines: { node: '>=22.12' } })
  for (const field of ['dependencies', 'optionalDependencies', 'peerDependencies', 'scripts', 'private']) expect(manifest).not.toHaveProperty(field)
  expect(readdirSync(join(root, 'claudemesh'))).toEqual(expect.arrayContaining(['LICENSE', 'README.md', 'lib']))
  const code = readdirSync(join(root, 'claudemesh', 'lib')).filter((name) => name.endsWith('.js'))
  expect(code).toEqual(expect.arrayContaining(['main.js', 'wake.js']))
  for (const name of code) expect(readFileSync(join(root, 'claudemesh', 'lib', name), 'utf8')).not.toContain(dirname(dirname(dirname(pack))))
  expect(readFileSync(join(root, 'claudemesh', 'lib', 'LICENSES.txt'), 'utf8')).toMatch(/## zod .*[\s\S]*## .*pglite|pglite[\s\S]*## zod/)
  expect(packed.unpacked).toBeLessThan(20_000_000)
})

test('a broker with files on S3 says what it needs beside the package, which comes without', () => {
  const env = { ...envOf('dora'), STORE_URL: `pglite:${join(folder, 'dora-data')}`, BLOB_URL: 's3://key:hunter2hunter2@127.0.0.1:9?tls=false', PORT: '0' }
  const ran = spawnSync('claudemesh', ['broker'], { cwd: folder, env, encoding: 'utf8', input: '' })
  expect(ran.status).not.toBe(0)
  expect(ran.stderr).toContain('npm install -g minio@8')
  expect(ran.stderr + ran.stdout).not.toContain('hunter2')
})

test('install and uninstall work from it', () => {
  const { changed } = json('carl', 'install') as { changed: string[] }
  expect(readFileSync(changed[0] ?? '', 'utf8')).toContain(join('lib', 'main.js'))
  expect(readFileSync(join(folder, 'carl', 'CLAUDEMESH.md'), 'utf8')).toContain('list_peers')
  expect(json('carl', 'uninstall')).toEqual({ installed: false, changed })
})

test('up in the background, join, send and launch work from it', async () => {
  expect(claudemesh('anna', '--version').trim()).toMatch(/^\d+\.\d+\.\d+$/)
  expect(json('anna', 'up', '--port', '0', '--detach')).toMatchObject({ mesh: 'local' })
  const { link } = json('anna', 'invite') as { link: string }
  expect(json('bert', 'join', link, '--name', 'Bert')).toMatchObject({ slug: 'local', role: 'member' })
  expect(json('bert', 'status')).toMatchObject({ meshes: [{ slug: 'local', reachable: true }] })
  await using ear = new Running(spawn('claudemesh', ['inbox', '--json', '--name', 'Ear'], { cwd: folder, env: envOf('bert') }))
  await ear.printed(/listening/)
  expect(json('anna', 'send', 'Ear', 'from the package', '--wait', 'received')).toMatchObject({ rung: 'received' })
  expect(JSON.parse((await ear.ended).out)).toMatchObject({ text: 'from the package', verified: true })
  claudemesh('bert', 'launch', '--name', 'Bert', '-y')
  expect(JSON.parse(readFileSync(record, 'utf8'))).toMatchObject({ argv: expect.arrayContaining(['-n', 'Bert']), plugin: expect.arrayContaining(['hooks']) })
})
