import { execFileSync } from 'node:child_process'
import { linkSync, lstatSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, realpathSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { safeFileName, type Files, type RemoteFile } from '@claudemesh/client'
import { LocalFiles } from '@claudemesh/client/node'
import { MeshError, limits, type FileId } from '@claudemesh/protocol'
import { afterAll, beforeEach, describe, expect, test } from 'vitest'

const root = realpathSync(mkdtempSync(join(tmpdir(), 'claudemesh-local-')))
afterAll(() => rmSync(root, { recursive: true, force: true }))

let cwd: string
let home: string
let outside: string
let local: LocalFiles
beforeEach(() => {
  cwd = mkdtempSync(join(root, 'cwd-'))
  home = mkdtempSync(join(root, 'home-'))
  outside = mkdtempSync(join(root, 'outside-'))
  local = new LocalFiles({ cwd, home, own: [join(home, 'mesh')] })
})

const put = (path: string, content = 'content') => {
  writeFileSync(path, content)
  return path
}
async function textOf(bytes: AsyncIterable<Uint8Array>): Promise<string> {
  let text = ''
  for await (const piece of bytes) text += Buffer.from(piece).toString()
  return text
}
const refused = (code: string, says: RegExp) => expect.objectContaining({ code, message: expect.stringMatching(says) })

describe('sharing', () => {
  test('opens a regular file, by a path from the working folder or a whole one', async () => {
    put(join(cwd, 'spec.yaml'), 'openapi: 3')
    for (const path of ['spec.yaml', './spec.yaml', join(cwd, 'spec.yaml')]) {
      await using source = await local.open(path)
      expect(source).toMatchObject({ name: 'spec.yaml', size: 10, mime: 'application/yaml' })
      expect(await textOf(source.bytes())).toBe('openapi: 3')
      expect(await source.unchanged()).toBe(true)
    }
  })

  test.each([
    ['content', (path: string) => writeFileSync(path, 'CONTENT')],
    ['size', (path: string) => writeFileSync(path, 'more content')],
  ])('notices a file whose %s changed', async (_what, change) => {
    const path = put(join(cwd, 'a.txt'))
    await using source = await local.open(path)
    change(path)
    expect(await source.unchanged()).toBe(false)
  })

  test('refuses a link, wherever it leads', async () => {
    put(join(cwd, 'real.txt'))
    symlinkSync(join(cwd, 'real.txt'), join(cwd, 'near'))
    symlinkSync(put(join(outside, 'id_rsa')), join(cwd, 'notes.txt'))
    symlinkSync('/nowhere', join(cwd, 'broken'))
    for (const name of ['near', 'notes.txt', 'broken']) await expect(local.open(name)).rejects.toEqual(refused('file_refused', /symbolic link/))
  })

  test('refuses folders, pipes and devices without waiting for them', async () => {
    mkdirSync(join(cwd, 'folder'))
    execFileSync('mkfifo', [join(cwd, 'pipe')])
    for (const path of ['folder', 'pipe']) await expect(local.open(path)).rejects.toEqual(refused('file_refused', /not a regular file/))
    for (const path of ['/dev/zero', '/dev/null', '/proc/self/environ', '/proc/version'])
      await expect(local.open(path, { force: false })).rejects.toEqual(refused('file_refused', /view of the system/))
    await expect(local.open('/dev/zero', { force: true })).rejects.toEqual(refused('file_refused', /not a regular file/))
  })

  test('says which file is not there', async () => {
    for (const path of ['no.txt', 'no/file.txt', join(put(join(cwd, 'file')), 'below')])
      await expect(local.open(path)).rejects.toEqual(refused('not_found', /there is no file/))
  })

  test.each([
    '.ssh/config',
    '.ssh/known_hosts',
    '.gnupg/x',
    '.aws/config',
    '.kube/config',
    '.docker/config.json',
    '.config/gh/hosts.yml',
    'mesh/config.json',
    'mesh/meshes/a/root.key',
    'work/.env',
    'work/.env.local',
    'work/.ENV',
    'work/.envrc',
    'work/server.pem',
    'work/tls.key',
    'work/id_rsa',
    'work/id_ed25519',
    'work/cert.p12',
    'work/vault.kdbx',
    'work/.npmrc',
    'work/.netrc',
    'work/.git-credentials',
    'work/credentials.json',
    'work/secrets.yaml',
  ])('keeps ~/%s to itself, unless a person forces it', async (name) => {
    const path = join(home, name)
    mkdirSync(join(path, '..'), { recursive: true })
    put(path)
    await expect(local.open(path)).rejects.toEqual(refused('file_refused', /is not shared/))
    await using source = await local.open(path, { force: true })
    expect(source.size).toBe(7)
  })

  test('a way through a linked folder does not hide a secret', async () => {
    mkdirSync(join(home, '.ssh'))
    put(join(home, '.ssh', 'config'))
    symlinkSync(join(home, '.ssh'), join(cwd, 'docs'))
    await expect(local.open('docs/config')).rejects.toEqual(refused('file_refused', /keys and credentials/))
  })

  test.each(['.env.example', 'id_ed25519.pub', 'keyboard.txt', 'environment.ts', 'pem.md', 'secretary.txt'])('%s is no secret', async (name) => {
    put(join(cwd, name))
    await using source = await local.open(name)
    expect(source.name).toBe(name)
  })
})

describe('a name', () => {
  test.each([
    ['report.pdf', 'report.pdf'],
    ['../../.ssh/authorized_keys', 'authorized_keys'],
    ['..\\..\\evil.exe', 'evil.exe'],
    ['/etc/passwd', 'passwd'],
    ['C:\\Windows\\x.dll', 'x.dll'],
    ['C:x', 'C_x'],
    ['a\0b.txt', 'ab.txt'],
    ['.bashrc', 'bashrc'],
    ['...', 'file'],
    ['', 'file'],
    ['..', 'file'],
    ['/', 'file'],
    ['CON', '_CON'],
    ['con.txt', '_con.txt'],
    ['Lpt1.log', '_Lpt1.log'],
    ['com¹', '_com¹'],
    ['console.log', 'console.log'],
    ['-rf', 'rf'],
    ['~root', 'root'],
    ['a\u202Egnp.exe', 'agnp.exe'],
    ['a\u200Bb\uFEFF\u{E0041}.txt', 'ab.txt'],
    ['line\nbreak\r\t.txt', 'linebreak.txt'],
    ['what?*<>|".md', 'what______.md'],
    ['trailing. . ', 'trailing'],
    ['e\u0301.txt', '\u00E9.txt'],
    ['\uD800.txt', '\uFFFD.txt'],
    ['日本語.txt', '日本語.txt'],
    ['two  spaces.txt', 'two spaces.txt'],
  ])('%j becomes %j', (given, safe) => expect(safeFileName(given)).toBe(safe))

  test('of 5000 characters keeps its extension and fits', () => {
    for (const letter of ['x', 'é', '文', '🙂']) {
      const name = safeFileName(`${letter.repeat(5000)}.tar`)
      expect(Buffer.byteLength(name)).toBeLessThanOrEqual(limits.fileNameBytes)
      expect(name).toMatch(/\.tar$/)
      expect(name.isWellFormed()).toBe(true)
    }
  })
})

describe('saving', () => {
  const content = Buffer.from('the content of the file')
  const remote = (name = 'spec.yaml'): RemoteFile => ({
    id: `f_${'a'.repeat(26)}` as FileId,
    name: safeFileName(name),
    size: content.length,
    mime: '',
    key: new Uint8Array(32),
    sha256: '',
  })
  /** Delivers the content into whatever part it is given; the network has tests of its own. */
  const files = (deliver: Files['download'] = async (_file, part) => part.append(content)) => ({ download: deliver }) as Files
  const save = (to: string, options: Parameters<LocalFiles['save']>[3] = {}, file = remote()) => local.save(files(), file, to, options)

  test.each([
    ['.', 'spec.yaml'],
    ['./', 'spec.yaml'],
    ['other.txt', 'other.txt'],
    ['docs/', 'docs/spec.yaml'],
    ['docs', 'docs/spec.yaml'],
    ['docs/../other.txt', 'other.txt'],
  ])('to %j makes %j', async (to, path) => {
    mkdirSync(join(cwd, 'docs'))
    expect(await save(to)).toBe(join(cwd, path))
    expect(readFileSync(join(cwd, path))).toEqual(content)
    expect(statSync(join(cwd, path)).mode & 0o777).toBe(0o600)
    expect(readdirSync(cwd, { recursive: true }).filter((name) => String(name).endsWith('.part'))).toEqual([])
  })

  test('to the system’s folder for temporary files is allowed', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'claudemesh-save-'))
    try {
      expect(await save(`${folder}/`)).toBe(join(realpathSync(folder), 'spec.yaml'))
    } finally {
      rmSync(folder, { recursive: true })
    }
  })

  const strict = () => new LocalFiles({ cwd, home, own: [], roots: [cwd] })

  test.each(['../', '../x', '..', '/etc/x', '/', '../../../../etc/cron.d/x', '/tmp/x', 'docs/../../x'])(
    'to %j is refused, and nothing is written',
    async (to) => {
      mkdirSync(join(cwd, 'docs'))
      await expect(strict().save(files(), remote(), to)).rejects.toEqual(refused('file_refused', /outside of/))
      expect(readdirSync(cwd)).toEqual(['docs'])
    },
  )

  test('to a folder whose name begins like an allowed one is refused', async () => {
    mkdirSync(`${cwd}-evil`)
    await expect(strict().save(files(), remote(), `${cwd}-evil/`)).rejects.toEqual(refused('file_refused', /outside of/))
  })

  test('through a linked folder that leads out is refused', async () => {
    symlinkSync('/etc', join(cwd, 'docs'))
    await expect(save('docs/')).rejects.toEqual(refused('file_refused', /outside of/))
    await expect(save('docs/x')).rejects.toEqual(refused('file_refused', /outside of/))
  })

  test('a person may save anywhere', async () => {
    expect(await save(`${outside}/`, { anywhere: true })).toBe(join(outside, 'spec.yaml'))
  })

  test('into a folder that is not there is refused', async () => {
    for (const to of ['new/', 'new/x']) await expect(save(to)).rejects.toEqual(refused('file_refused', /make it first/))
  })

  test('with a zero byte in the path is refused', async () => {
    await expect(save('a\0b')).rejects.toEqual(refused('file_refused', /zero byte/))
  })

  test('does not replace what is there, unless told to', async () => {
    const path = put(join(cwd, 'spec.yaml'), 'mine')
    await expect(save('.')).rejects.toEqual(refused('file_exists', /exists already/))
    expect(readFileSync(path, 'utf8')).toBe('mine')
    await save('.', { overwrite: true })
    expect(readFileSync(path)).toEqual(content)
  })

  test('does not replace what appeared while it downloaded', async () => {
    const race = files(async (_file, part) => {
      await part.append(content)
      put(join(cwd, 'spec.yaml'), 'theirs')
    })
    await expect(local.save(race, remote(), '.')).rejects.toEqual(refused('file_exists', /exists already/))
    expect(readFileSync(join(cwd, 'spec.yaml'), 'utf8')).toBe('theirs')
  })

  test('never follows a link at the destination', async () => {
    const target = put(join(outside, 'authorized_keys'), 'keys')
    symlinkSync(target, join(cwd, 'spec.yaml'))
    await expect(save('.')).rejects.toEqual(refused('file_exists', /exists already/))
    await save('.', { overwrite: true })
    expect(readFileSync(target, 'utf8')).toBe('keys')
    expect(lstatSync(join(cwd, 'spec.yaml')).isSymbolicLink()).toBe(false)
  })

  const part = () => join(cwd, `spec.yaml.${remote().id}.part`)

  test('never writes through a link, a second name or a pipe in the place of its part', async () => {
    const target = put(join(outside, 'victim'), 'keep')
    const plant = [() => symlinkSync(target, part()), () => linkSync(target, part()), () => mkdirSync(part()), () => execFileSync('mkfifo', [part()])]
    for (const place of plant) {
      place()
      await expect(save('.')).rejects.toEqual(refused('file_refused', /in the way/))
      expect(readFileSync(target, 'utf8')).toBe('keep')
      rmSync(part(), { recursive: true })
    }
  })

  test('keeps the part of a cut download, and drops that of a damaged one', async () => {
    const failing = (code: 'unavailable' | 'file_damaged') =>
      files(async (_file, into) => {
        await into.append(content.subarray(0, 5))
        throw new MeshError(code)
      })
    await expect(local.save(failing('unavailable'), remote(), '.')).rejects.toMatchObject({ code: 'unavailable' })
    expect(readFileSync(part())).toEqual(content.subarray(0, 5))
    await expect(local.save(failing('file_damaged'), remote(), '.')).rejects.toMatchObject({ code: 'file_damaged' })
    expect(readdirSync(cwd)).toEqual([])
  })

  test('a part that somebody lengthened meanwhile is not published', async () => {
    const lengthened = files(async (_file, into) => {
      await into.append(content)
      writeFileSync(part(), Buffer.concat([content, Buffer.from('more')]))
    })
    await expect(local.save(lengthened, remote(), '.')).rejects.toMatchObject({ code: 'file_damaged' })
    expect(readdirSync(cwd)).toEqual([])
  })

  test('over a folder is refused', async () => {
    mkdirSync(join(cwd, 'a'))
    mkdirSync(join(cwd, 'a', 'spec.yaml'))
    await expect(save('a/')).rejects.toMatchObject({ code: 'file_exists' })
    await expect(save('a/', { overwrite: true })).rejects.toEqual(refused('file_refused', /cannot be written/))
  })
})
