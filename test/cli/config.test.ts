import { spawnSync } from 'node:child_process'
import { chmodSync, chownSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { loadConfig, updateConfig, type MeshEntry } from '../../apps/cli/src/home/config.ts'
import { addMesh, pickMesh } from '../../apps/cli/src/home/meshes.ts'
import { createPrivate, readPrivate, replacePrivate } from '../../apps/cli/src/home/private-file.ts'
import { policyPin } from '../../apps/cli/src/home/policy-pin.ts'
import { loadRootKey, saveRootKey } from '../../apps/cli/src/home/root-key.ts'
import { verifies } from '../harness/verifies.ts'

let base: string
let home: string
beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), 'claudemesh-config-'))
  home = join(base, 'home')
})
afterEach(() => rmSync(base, { recursive: true, force: true }))

const mesh = (slug: string, id = slug): MeshEntry => ({
  slug,
  url: 'ws://127.0.0.1:1/ws',
  mesh: id,
  root: 'r',
  name: 'anna',
  role: 'member',
  member: 's',
  chain: ['a.b'],
})
const mode = (path: string) => (statSync(path).mode & 0o777).toString(8)
const file = () => join(home, 'config.json')

describe('where the keys lie', () => {
  test('the folder is 0700 and the file 0600, whatever the umask', async () => {
    verifies('identity.member-in-config')
    const before = process.umask(0)
    try {
      await updateConfig(home, (config) => addMesh(config, mesh('team')))
    } finally {
      process.umask(before)
    }
    expect([mode(home), mode(file())]).toEqual(['700', '600'])
    expect(loadConfig(home).meshes.map((entry) => entry.slug)).toEqual(['team'])
    expect(readdirSync(home)).toEqual(['config.json'])
  })

  test('no file means no meshes', () => {
    expect(loadConfig(home)).toEqual({ version: 1, meshes: [] })
  })

  test.each([
    ['readable by the group', 0o640],
    ['readable by everybody', 0o604],
    ['writable by the group', 0o620],
  ])('a configuration %s is refused with the remedy', async (_what, bits) => {
    await updateConfig(home, (config) => addMesh(config, mesh('team')))
    chmodSync(file(), bits)
    expect(() => loadConfig(home)).toThrow(`chmod 600 ${file()}`)
  })

  test('a folder that others may enter is refused with the remedy', async () => {
    mkdirSync(home)
    chmodSync(home, 0o755)
    await expect(updateConfig(home, (config) => config)).rejects.toThrow(`chmod 700 ${home}`)
  })

  test('a configuration that is a symbolic link is refused', () => {
    mkdirSync(home, { mode: 0o700 })
    writeFileSync(join(base, 'elsewhere'), '{}', { mode: 0o600 })
    symlinkSync(join(base, 'elsewhere'), file())
    expect(() => loadConfig(home)).toThrow('symbolic link')
  })

  test('a folder that is a symbolic link is refused', async () => {
    mkdirSync(join(base, 'elsewhere'), { mode: 0o700 })
    symlinkSync(join(base, 'elsewhere'), home)
    await expect(updateConfig(home, (config) => config)).rejects.toThrow('is not a folder')
  })

  test('a file of another user is refused', () => {
    const foreign = process.getuid?.() === 0 ? join(base, 'foreign') : '/etc/hosts'
    if (foreign !== '/etc/hosts') {
      writeFileSync(foreign, '', { mode: 0o600 })
      chownSync(foreign, 12_345, 12_345)
    }
    expect(() => readPrivate(foreign)).toThrow('belongs to another user')
  })

  test('a folder in place of the file is refused', () => {
    mkdirSync(file(), { recursive: true, mode: 0o700 })
    expect(() => loadConfig(home)).toThrow('not a regular file')
  })
})

describe('writing', () => {
  test('a new file never opens what is there already, nor follows a link', () => {
    writeFileSync(join(base, 'victim'), 'precious')
    symlinkSync(join(base, 'victim'), join(base, 'link'))
    expect(() => createPrivate(join(base, 'link'), 'x')).toThrow('EEXIST')
    expect(readFileSync(join(base, 'victim'), 'utf8')).toBe('precious')
  })

  test('replacing a link replaces the link, not what it points to', () => {
    writeFileSync(join(base, 'victim'), 'precious')
    symlinkSync(join(base, 'victim'), join(base, 'link'))
    replacePrivate(join(base, 'link'), 'x')
    expect([readFileSync(join(base, 'victim'), 'utf8'), readFileSync(join(base, 'link'), 'utf8')]).toEqual(['precious', 'x'])
  })

  test('changes at the same time do not lose each other', async () => {
    const slugs = Array.from({ length: 12 }, (_, i) => `m${i}`)
    await Promise.all(slugs.map((slug) => updateConfig(home, (config) => addMesh(config, mesh(slug)))))
    expect(
      loadConfig(home)
        .meshes.map((entry) => entry.slug)
        .sort(),
    ).toEqual(slugs.sort())
  })

  test('a change that fails leaves the file as it was and the lock free', async () => {
    await updateConfig(home, (config) => addMesh(config, mesh('team')))
    await expect(updateConfig(home, (config) => addMesh(config, mesh('team')))).rejects.toThrow('already a member')
    expect((await updateConfig(home, (config) => config)).meshes).toHaveLength(1)
  })

  test('the lock of a process that died is taken over', async () => {
    const dead = spawnSync(process.execPath, ['-e', '']).pid
    mkdirSync(home, { mode: 0o700 })
    writeFileSync(`${file()}.lock`, String(dead))
    expect((await updateConfig(home, (config) => addMesh(config, mesh('team')))).meshes).toHaveLength(1)
  })
})

describe('a damaged configuration', () => {
  test.each([
    ['not JSON', '{"version":1,'],
    ['another form', '{"version":1,"meshes":[{"slug":"x"}]}'],
    ['an unknown version', '{"version":9,"meshes":[]}'],
  ])('%s: is reported, kept aside and never overwritten', async (_what, text) => {
    mkdirSync(home, { mode: 0o700 })
    writeFileSync(file(), text, { mode: 0o600 })
    await expect(updateConfig(home, (config) => addMesh(config, mesh('team')))).rejects.toMatchObject({ code: 'broken_config' })
    const kept = readdirSync(home).filter((name) => name.startsWith('config.json.broken-'))
    expect(kept.map((name) => readFileSync(join(home, name), 'utf8'))).toEqual([text])
    expect(readdirSync(home)).not.toContain('config.json')
  })
})

describe('choosing a mesh', () => {
  const config = (...slugs: string[]) => ({ version: 1 as const, meshes: slugs.map((slug) => mesh(slug)) })

  test('the only one needs no name', () => {
    verifies('launch.single-mesh')
    expect(pickMesh(config('team'), undefined).slug).toBe('team')
  })
  test('the named one is taken', () => expect(pickMesh(config('a', 'b'), 'b').slug).toBe('b'))
  test('among several the choice is said', () => expect(() => pickMesh(config('a', 'b'), undefined)).toThrow('--mesh a | --mesh b'))
  test('an unknown name lists the known ones', () => expect(() => pickMesh(config('a', 'b'), 'c')).toThrow('yours: a, b'))
  test('without any, the first step is said', () => expect(() => pickMesh(config(), undefined)).toThrow('claudemesh up'))
  test('a second mesh of one name gets a number', () => {
    expect(addMesh(config('team'), mesh('team', 'other')).meshes.map((entry) => entry.slug)).toEqual(['team', 'team-2'])
  })
})

test('a root key has a 0600 file of its own and is never written over', () => {
  const path = saveRootKey(home, 'team', 'secret')
  expect([mode(path), loadRootKey(home, 'team')]).toEqual(['600', 'secret'])
  expect(() => saveRootKey(home, 'team', 'other')).toThrow('move it away first')
  expect(loadRootKey(home, 'team')).toBe('secret')
})

test('the newest policy is kept per mesh', () => {
  const pin = policyPin(home, 'abc')
  expect(pin.load()).toBeUndefined()
  pin.save('one')
  pin.save('two')
  expect([pin.load(), policyPin(home, 'def').load()]).toEqual(['two', undefined])
})
