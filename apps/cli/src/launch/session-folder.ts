import { lstatSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { isAlive } from '../home/alive.ts'
import { ensurePrivateFolder } from '../home/private-file.ts'

const prefix = 's-'
/** Of the folders of sessions that no launch made. */
export const plainPrefix = 'c-'
/** Holds the id of the process that the folder belongs to. */
export const owner = 'owner.pid'
const orphanAge = 3_600_000
// A socket's path must fit into 104 bytes on macOS, 108 on Linux.
const longestFolder = 80

/** One launch's 0700 folder under `home`, or in the system's place for temporary files where that path would be too long for a socket. */
export class SessionFolder implements Disposable {
  readonly path: string

  private constructor(path: string) {
    this.path = path
  }

  static make(home: string): SessionFolder {
    const parent = Buffer.byteLength(sessionsFolder(home)) <= longestFolder ? sessionsFolder(home) : tmpdir()
    if (parent !== tmpdir()) {
      ensurePrivateFolder(home)
      ensurePrivateFolder(parent)
    }
    const path = mkdtempSync(join(parent, parent === tmpdir() ? 'claudemesh-s-' : prefix))
    const folder = new SessionFolder(path)
    try {
      folder.write({ [owner]: String(process.pid) })
      return folder
    } catch (error) {
      // Without its owner's id in it nobody would sweep it.
      folder[Symbol.dispose]()
      throw error
    }
  }

  write(files: Readonly<Record<string, string>>): void {
    for (const [name, text] of Object.entries(files)) {
      const path = join(this.path, name)
      mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
      writeFileSync(path, text, { mode: 0o600, flag: 'wx' })
    }
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true })
  }
}

/** The folders of this user's sessions that still run. */
export function liveSessionFolders(home: string): string[] {
  return ownFolders(home)
    .filter(({ pid }) => isAlive(pid))
    .map(({ path }) => path)
}

/** Removes folders of sessions that died without doing so themselves: ours, no links, over an hour old, owner gone. Returns what went. */
export function sweepSessionFolders(home: string, now: number): string[] {
  const swept = orphanFolders(home, now - orphanAge)
  for (const path of swept) rmSync(path, { recursive: true, force: true })
  return swept
}

/** Folders of sessions that died, and were last touched before that time. */
export function orphanFolders(home: string, before: number): string[] {
  return ownFolders(home)
    .filter(({ touched, pid }) => touched <= before && !isAlive(pid))
    .map(({ path }) => path)
}

/** Where the folders of sessions lie. */
export const sessionsFolder = (home: string): string => join(home, 'sessions')

interface OwnFolder {
  readonly path: string
  readonly touched: number
  readonly pid: number
}

/** The folders of this user's sessions: no links, with the id of the process in them that they belong to. */
function ownFolders(home: string): OwnFolder[] {
  return [sessionsFolder(home), tmpdir()].flatMap((parent) =>
    list(parent)
      .filter((name) => (parent === tmpdir() ? name.startsWith('claudemesh-s-') : name.startsWith(prefix) || name.startsWith(plainPrefix)))
      .flatMap((name) => look(join(parent, name)) ?? []),
  )
}

function look(path: string): OwnFolder | undefined {
  try {
    const stats = lstatSync(path)
    if (!stats.isDirectory() || (process.getuid !== undefined && stats.uid !== process.getuid())) return undefined
    return { path, touched: stats.mtimeMs, pid: Number(readFileSync(join(path, owner), 'utf8')) }
  } catch {
    return undefined
  }
}

function list(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}
