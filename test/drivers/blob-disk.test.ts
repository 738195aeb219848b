import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync, globSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test, vi } from 'vitest'
import { openBlob } from '@claudemesh/drivers'
import { acceptBlob, bytesOf, chunked, freshKey, store } from './blob-acceptance.ts'

const home = mkdtempSync(join(tmpdir(), 'claudemesh-blob-'))
afterAll(() => rmSync(home, { recursive: true, force: true }))

acceptBlob('a disk', async () => ({
  open: () => openBlob(`file:${join(home, 'accepted')}`),
  unit: 256 * 1024,
  lag: 60_000,
  [Symbol.asyncDispose]: async () => {},
}))

describe('a folder of files', () => {
  test('is for its owner alone, and holds objects where the specification puts them', async () => {
    const folder = join(home, 'private')
    await using blob = await openBlob(`file:${folder}`)
    const key = freshKey()
    await store(blob, key, randomBytes(10))
    await blob.upload(freshKey(key.mesh), 10)
    expect(existsSync(join(folder, `mesh-${key.mesh}/shared/${key.file}/object`))).toBe(true)
    const modes = globSync(`${folder}/**`).map((path) => [statSync(path).isFile(), statSync(path).mode & 0o777])
    expect(modes).toHaveLength(7)
    for (const [file, mode] of modes) expect(mode).toBe(file ? 0o600 : 0o700)
  })

  test('is open in one process at a time', async () => {
    const url = `file:${join(home, 'one')}`
    await using _ = await openBlob(url)
    await expect(openBlob(url)).rejects.toThrow(/is open in process \d+/)
  })

  test('without a name is a temporary one, gone at the end', async () => {
    const temporary = join(home, 'temporary')
    mkdirSync(temporary)
    vi.stubEnv('TMPDIR', temporary)
    const blob = await openBlob('file:')
    vi.unstubAllEnvs()
    await store(blob, freshKey(), randomBytes(10))
    expect(globSync(`${temporary}/*/mesh-*`)).toHaveLength(1)
    await blob[Symbol.asyncDispose]()
    expect(readdirSync(temporary)).toEqual([])
  })

  test('an object cut short on the disk ends in an error, never in less', async () => {
    await using blob = await openBlob(`file:${join(home, 'short')}`)
    const key = freshKey()
    await store(blob, key, randomBytes(600_000))
    const found = await blob.read(key)
    truncateSync(join(home, `short/mesh-${key.mesh}/shared/${key.file}/object`), 300_000)
    let received = 0
    await expect(async () => {
      for await (const chunk of found?.body ?? []) received += chunk.length
    }).rejects.toMatchObject({ code: 'storage_unavailable', message: 'the stored object is shorter than it was' })
    expect(received).toBe(300_000)
  })

  test('a symbolic link in the place of an upload or an object is not followed', async () => {
    const folder = join(home, 'links')
    await using blob = await openBlob(`file:${folder}`)
    const [half, done] = [freshKey(), freshKey()]
    const secret = join(home, 'secret')
    writeFileSync(secret, 'keep')
    await blob.upload(half, 4)
    const part = join(folder, `mesh-${half.mesh}/uploads/shared.${half.file}`)
    rmSync(part)
    symlinkSync(secret, part)
    await expect(blob.append(half, 1000, lstatSync(part).size, chunked(randomBytes(4), 4))).rejects.toMatchObject({ code: 'storage_unavailable' })
    await expect(blob.upload(half, 1000)).rejects.toMatchObject({ code: 'storage_unavailable' })
    await store(blob, done, randomBytes(4))
    const object = join(folder, `mesh-${done.mesh}/shared/${done.file}/object`)
    rmSync(object)
    symlinkSync(secret, object)
    await expect(bytesOf(blob, done)).rejects.toMatchObject({ code: 'storage_unavailable' })
    expect(statSync(secret).size).toBe(4)
  })

  test('more than the disk has room for is refused at once', async () => {
    await using blob = await openBlob('file:')
    await expect(blob.upload(freshKey(), 2 ** 60)).rejects.toMatchObject({ code: 'storage_full' })
  })

  test.each(['file', 'ftp://x', ''])('%j is no file storage', async (url) => {
    await expect(openBlob(url)).rejects.toThrow(/unknown file storage/)
  })
})

// Only root may make a small disk; a build machine has to.
const mayMount = process.platform === 'linux' && process.getuid?.() === 0
if (mayMount || process.env['CI']) {
  test('a disk that fills up in the middle keeps what is safe, and the upload goes on when there is room', async () => {
    const folder = join(home, 'small')
    execFileSync('mkdir', [folder])
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'claudemesh', folder])
    try {
      await using blob = await openBlob(`file:${join(folder, 'files')}`)
      const [key, bytes, ballast] = [freshKey(), randomBytes(800_000), join(folder, 'ballast')]
      expect(await blob.upload(key, bytes.length)).toBe(0)
      writeFileSync(ballast, randomBytes(400_000))
      await expect(blob.append(key, bytes.length, 0, chunked(bytes, 65_536))).rejects.toMatchObject({ code: 'storage_full' })
      await expect(blob.upload(key, bytes.length)).rejects.toMatchObject({ code: 'storage_full' })
      rmSync(ballast)
      const safe = await blob.upload(key, bytes.length)
      expect(safe).toBeGreaterThan(0)
      await blob.append(key, bytes.length, safe, chunked(bytes.subarray(safe), 65_536))
      await blob.finish(key, bytes.length)
      expect((await bytesOf(blob, key))?.equals(bytes)).toBe(true)
    } finally {
      execFileSync('umount', [folder])
    }
  })
}
