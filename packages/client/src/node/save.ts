import { link, lstat, open, realpath, rename, rm, stat } from 'node:fs/promises'
import { basename, dirname, join, resolve, sep } from 'node:path'
import { MeshError } from '@claudemesh/protocol'
import type { Progress, RemoteFile } from '../files/types.ts'
import type { Files } from '../features/files.ts'
import { LocalPart } from './part.ts'
import { isWithin } from './secrets.ts'

export interface SaveOptions {
  /** Where relative paths begin. */
  readonly cwd: string
  /** Folders it may be written below; anywhere when undefined. */
  readonly roots?: readonly string[] | undefined
  readonly overwrite?: boolean | undefined
  readonly progress?: Progress | undefined
}

/** Downloads a file to a path, or into a folder under its own name; gives the path. It appears whole and verified, or not at all. Throws `file_refused` or `file_exists`. */
export async function saveFile(files: Files, file: RemoteFile, saveTo: string, options: SaveOptions): Promise<string> {
  const path = await destination(file, saveTo, options)
  if (options.overwrite !== true) await refuseExisting(path)
  const part = join(dirname(path), `${basename(path)}.${file.id}.part`)
  try {
    await using local = await LocalPart.open(part)
    await files.download(file, local, options.progress)
    if ((await local.size()) !== file.size) throw new MeshError('file_damaged', 'the file was not kept: somebody else wrote to it')
  } catch (error) {
    if (error instanceof MeshError && error.code === 'file_damaged') await rm(part, { force: true })
    throw asMeshError(error, path)
  }
  await publish(part, path, options.overwrite === true)
  return path
}

async function destination(file: RemoteFile, saveTo: string, { cwd, roots }: SaveOptions): Promise<string> {
  if (saveTo.includes('\0')) throw new MeshError('file_refused', 'the path contains a zero byte')
  const wanted = resolve(cwd, saveTo)
  const intoFolder = saveTo.endsWith('/') || saveTo.endsWith(sep) || (await isFolder(wanted))
  const folder = await realpath(intoFolder ? wanted : dirname(wanted)).catch(() => {
    throw new MeshError('file_refused', `there is no folder ${intoFolder ? wanted : dirname(wanted)}; make it first`)
  })
  const allowed = roots && (await Promise.all(roots.map((root) => realpath(root).catch(() => root))))
  if (allowed && !allowed.some((root) => isWithin(folder, root)))
    throw new MeshError('file_refused', `${folder} is outside of ${allowed.join(' and ')}; save it there, and let your user move it`)
  return join(folder, intoFolder ? file.name : basename(wanted))
}

async function isFolder(path: string): Promise<boolean> {
  return stat(path).then(
    (stats) => stats.isDirectory(),
    () => false,
  )
}

/** Anything of that name counts, a link to nowhere too. */
async function refuseExisting(path: string): Promise<void> {
  const there = await lstat(path).then(
    () => true,
    () => false,
  )
  if (there) throw new MeshError('file_exists', `${path} exists already; choose another name, or replace it with overwrite`)
}

/** Gives the finished part its name, which replaces a link and never follows it. */
async function publish(part: string, path: string, overwrite: boolean): Promise<void> {
  try {
    if (overwrite) await rename(part, path)
    else {
      // A link fails where a name is taken; a rename would replace it.
      await link(part, path).catch(async (error: unknown) => {
        if ((error as NodeJS.ErrnoException).code === 'EEXIST') throw error
        await refuseExisting(path)
        await rename(part, path)
      })
      await rm(part, { force: true })
    }
    await syncFolder(dirname(path))
  } catch (error) {
    throw asMeshError(error, path)
  }
}

async function syncFolder(path: string): Promise<void> {
  if (process.platform === 'win32') return
  const folder = await open(path, 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}

function asMeshError(error: unknown, path: string): unknown {
  if (error instanceof MeshError) return error
  const { code } = error as NodeJS.ErrnoException
  if (code === 'EEXIST') return new MeshError('file_exists', `${path} exists already`)
  if (code === 'ENOSPC' || code === 'EDQUOT') return new MeshError('file_refused', `${dirname(path)} has no room left; the part that came is kept`)
  return code === undefined ? error : new MeshError('file_refused', `${path} cannot be written: ${code}`)
}
