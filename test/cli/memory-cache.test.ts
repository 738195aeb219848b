import { appendFileSync, chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { memoryCache } from '../../apps/cli/src/home/memory-cache.ts'

const mesh = 'a'.repeat(32)
const head = 'memory 1 aaaa first\n'
let home: string
let file: string

beforeEach(() => {
  home = join(mkdtempSync(join(tmpdir(), 'claudemesh-cache-')), 'home')
  file = join(home, 'cache', mesh, 'memory')
})
afterEach(() => rmSync(join(home, '..'), { recursive: true, force: true }))

/** A cache that begins with the first head, as a session before left it. */
async function begun() {
  const cache = memoryCache(home, mesh)
  expect(await cache.load()).toBeUndefined()
  await cache.replace(head)
  return cache
}

test('what was appended is there for the next session, for this user’s eyes alone', async () => {
  const cache = await begun()
  await cache.append('r one\n')
  await cache.append('r two\nr three\n')
  await cache.saveIndex('sealed')
  const next = memoryCache(home, mesh)
  expect(await next.load()).toBe(`${head}r one\nr two\nr three\n`)
  expect(await next.loadIndex()).toBe('sealed')
  expect(statSync(file).mode & 0o777).toBe(0o600)
  for (const folder of [home, join(home, 'cache'), join(home, 'cache', mesh)]) expect(statSync(folder).mode & 0o777).toBe(0o700)
})

test('a line that a crash cut off is taken away before more is added', async () => {
  await (await begun()).append('r one\nr two\n')
  truncateSync(file, statSync(file).size - 3)
  const next = memoryCache(home, mesh)
  await next.load()
  await next.append('r three\n')
  expect(readFileSync(file, 'utf8')).toBe(`${head}r one\nr three\n`)
})

test('also one that is longer than what is looked at in one go', async () => {
  await (await begun()).append('r one\n')
  appendFileSync(file, 'x'.repeat(200_000))
  const next = memoryCache(home, mesh)
  await next.load()
  await next.append('r two\n')
  expect(readFileSync(file, 'utf8')).toBe(`${head}r one\nr two\n`)
})

test('several sessions add at once, and every line is whole', async () => {
  await begun()
  const caches = [memoryCache(home, mesh), memoryCache(home, mesh)]
  for (const cache of caches) await cache.load()
  const lines = Array.from({ length: 20 }, (_, i) => `r ${i} ${'x'.repeat(10_000)}\n`)
  await Promise.all(lines.map(async (line, i) => caches[i % 2]?.append(line)))
  const kept = readFileSync(file, 'utf8').split('\n')
  expect(kept.toSorted()).toEqual(`${head}${lines.join('')}`.split('\n').toSorted())
})

test('who finds the file begun anew by another adds nothing to it', async () => {
  const cache = await begun()
  await memoryCache(home, mesh).replace('memory 1 aaaa second\n')
  await cache.append('r one\n')
  await cache.append('r two\n')
  expect(readFileSync(file, 'utf8')).toBe('memory 1 aaaa second\n')
})

test('before anything was loaded or begun nothing is added', async () => {
  await begun()
  await memoryCache(home, mesh).append('r one\n')
  expect(readFileSync(file, 'utf8')).toBe(head)
})

test.each<[string, () => void]>([
  ['a link to a file elsewhere', () => (rmSync(file), writeFileSync(join(home, 'elsewhere'), 'mine'), symlinkSync(join(home, 'elsewhere'), file))],
  ['a file that others may read', () => chmodSync(file, 0o644)],
  ['a folder', () => (rmSync(file), mkdirSync(file))],
  ['a folder that others may enter', () => chmodSync(join(home, 'cache'), 0o755)],
])('%s is not read and never written to', async (name, spoil) => {
  await begun()
  spoil()
  const cache = memoryCache(home, mesh)
  expect(await cache.load()).toBeUndefined()
  await cache.append('r one\n')
  if (name.startsWith('a link')) {
    await cache.replace(head)
    expect(readFileSync(join(home, 'elsewhere'), 'utf8')).toBe('mine')
    expect(await cache.load()).toBe(head)
  }
})
