import { randomBytes } from 'node:crypto'
import {
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
  type Stats,
} from 'node:fs'
import { dirname } from 'node:path'
import { Failure } from '../failure.ts'

const noFollow = constants.O_NOFOLLOW ?? 0

/** Makes the folder with mode 0700. Refuses one that others may enter, that somebody else owns, or that is a link. */
export function ensurePrivateFolder(path: string): void {
  mkdirSync(path, { recursive: true, mode: 0o700 })
  requirePrivateFolder(path)
}

/** Refuses a folder that others may enter, that somebody else owns, or that is a link. */
export function requirePrivateFolder(path: string): void {
  const stats = lstatSync(path)
  if (!stats.isDirectory()) throw new Failure('unsafe_file', `${path} is not a folder; move it away`)
  refuseShared(path, stats, '700')
}

/** The text of a file that only this user can read; undefined when there is none. Refuses links and files that others own or may read. */
export function readPrivate(path: string): string | undefined {
  let fd: number
  try {
    fd = openSync(path, constants.O_RDONLY | noFollow)
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code
    if (code === 'ENOENT') return undefined
    if (code === 'ELOOP') throw new Failure('unsafe_file', `${path} is a symbolic link; put the file itself there`, { cause })
    throw new Failure('unsafe_file', `${path} cannot be read (${code}); check its owner and mode`, { cause })
  }
  try {
    const stats = fstatSync(fd)
    if (!stats.isFile()) throw new Failure('unsafe_file', `${path} is not a regular file; move it away`)
    refuseShared(path, stats, '600')
    return readFileSync(fd, 'utf8')
  } finally {
    closeSync(fd)
  }
}

/** Makes a new file of mode 0600; fails with EEXIST when anything is there. */
export function createPrivate(path: string, text: string): void {
  const fd = openSync(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | noFollow, 0o600)
  try {
    writeFileSync(fd, text)
    fsyncSync(fd)
  } catch (error) {
    // On a full disk an empty file would stay.
    rmSync(path, { force: true })
    throw error
  } finally {
    closeSync(fd)
  }
}

/** Puts the text in place of the file at once: after a crash there is the old or the new one, whole. */
export function replacePrivate(path: string, text: string): void {
  const temporary = `${path}.${randomBytes(6).toString('hex')}.tmp`
  try {
    createPrivate(temporary, text)
    renameSync(temporary, path)
  } catch (error) {
    rmSync(temporary, { force: true })
    throw error
  }
  syncFolder(dirname(path))
}

function refuseShared(path: string, stats: Stats, mode: string): void {
  if (process.getuid === undefined) return
  if (stats.uid !== process.getuid()) throw new Failure('unsafe_file', `${path} belongs to another user; it must be yours: chown it, or move it away`)
  if ((stats.mode & 0o077) !== 0) throw new Failure('unsafe_file', `${path} is open to other users; run: chmod ${mode} ${path}`)
}

function syncFolder(path: string): void {
  if (process.platform === 'win32') return
  const fd = openSync(path, constants.O_RDONLY)
  try {
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}
