import { constants, type Stats } from 'node:fs'
import { lstat, mkdir, open, type FileHandle } from 'node:fs/promises'
import { dirname } from 'node:path'
import { MeshError } from '@claudemesh/protocol'

// No link is followed, and nobody waits for the other end of a pipe; where the system knows neither flag, it is undefined and adds nothing.
const { O_CREAT, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_WRONLY } = constants

const flags = { read: O_RDONLY | O_NOFOLLOW | O_NONBLOCK, write: O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK }

/** Opens a regular file, never through a symbolic link; made with its folders, for this user alone, when it is to be written. */
export async function openFile(path: string, how: keyof typeof flags): Promise<FileHandle> {
  if (how === 'write') await mkdir(dirname(path), { recursive: true, mode: 0o700 })
  const file = await open(path, flags[how], 0o600)
  if ((await file.stat()).isFile()) return file
  await file.close()
  throw new MeshError('storage_unavailable', 'the file store holds something else where a file should be')
}

/** What stands there, itself and not what a link points at; undefined when there is nothing. */
export async function statFile(path: string): Promise<Stats | undefined> {
  try {
    return await lstat(path)
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined
    throw error
  }
}

/** Writes all of the bytes. */
export async function writeAll(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  // A disk that fills up takes a part; asking for the rest tells why.
  for (let written = 0; written < bytes.length;) written += (await file.write(bytes, written, bytes.length - written, position + written)).bytesWritten
}

/** Makes what was created or renamed in a folder outlast a crash of the machine, where the system can. */
export async function syncFolder(path: string): Promise<void> {
  try {
    await using folder = await open(path, O_RDONLY)
    await folder.sync()
  } catch (error) {
    if (!['EISDIR', 'EPERM', 'EACCES', 'EINVAL'].includes(codeOf(error))) throw error
  }
}

export function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? ''
}

/** Runs a task whose failures are the file system's, and tells them in the words of the port. */
export async function onDisk<T>(task: () => Promise<T>): Promise<T> {
  try {
    return await task()
  } catch (cause) {
    if (cause instanceof MeshError) throw cause
    if (['ENOSPC', 'EDQUOT', 'EFBIG'].includes(codeOf(cause))) throw new MeshError('storage_full', undefined, { cause })
    throw new MeshError('storage_unavailable', `the broker’s file store cannot be used (${codeOf(cause)})`, { cause })
  }
}
