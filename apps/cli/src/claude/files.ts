import { createHash, randomBytes } from 'node:crypto'
import {
  chmodSync,
  closeSync,
  existsSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  renameSync,
  rmSync,
  rmdirSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { dirname, resolve } from 'node:path'
import { Failure } from '../failure.ts'

/** The file's text; undefined when there is none. Throws `bad_settings` for what is no file or cannot be read. */
export function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException
    if (code === 'ENOENT') return undefined
    throw new Failure('bad_settings', `${path} cannot be read (${code}); nothing was changed: check its owner and mode`, { cause })
  }
}

/** Puts the text in place at once, or removes the file, if it still holds what was `expected`. Links stay links, modes stay; a new file is for its owner alone. */
export function replaceText(path: string, text: string | undefined, expected: string | undefined): void {
  if (readText(path) !== expected) throw new Failure('bad_settings', `${path} was changed by another program just now; try again`)
  if (text === undefined) return rmSync(path, { force: true })
  const target = targetOf(path)
  const mode = existsSync(target) ? statSync(target).mode & 0o777 : 0o600
  const temporary = `${target}.${randomBytes(6).toString('hex')}.tmp`
  try {
    const fd = openSync(temporary, 'wx', mode)
    try {
      writeFileSync(fd, text)
      fsyncSync(fd)
    } finally {
      closeSync(fd)
    }
    chmodSync(temporary, mode)
    renameSync(temporary, target)
  } catch (cause) {
    rmSync(temporary, { force: true })
    throw new Failure('bad_settings', `${path} cannot be written (${(cause as NodeJS.ErrnoException).code}); it was left as it was`, { cause })
  }
}

/** Makes the folder of this file and answers which folders were not there before, outermost first. */
export function makeFolder(path: string): string[] {
  const made: string[] = []
  for (let folder = dirname(path); !existsSync(folder); folder = dirname(folder)) made.unshift(folder)
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  return made
}

/** Removes those of the folders that are empty. */
export function removeFolders(folders: readonly string[]): void {
  for (const folder of [...folders].sort((a, b) => b.length - a.length)) {
    try {
      rmdirSync(folder)
    } catch {
      // Somebody else has something in it.
    }
  }
}

/** Where the bytes lie: behind the links, also where a link leads to nothing yet. */
function targetOf(path: string): string {
  try {
    return realpathSync(path)
  } catch {
    const link = lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() === true
    return link ? resolve(dirname(path), readlinkSync(path)) : path
  }
}

/** A text as short as a name, the same for the same text. */
export function digest(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}
