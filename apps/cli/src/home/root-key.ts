import { join } from 'node:path'
import { Failure } from '../failure.ts'
import { createPrivate, ensurePrivateFolder, readPrivate } from './private-file.ts'

/** Where the root key of a mesh founded here lies until its founder moves it. */
export const rootKeyFile = (home: string, slug: string): string => join(home, 'roots', `${slug}.root.key`)

/** Keeps the seed of a mesh's root key in a file of its own and returns its path. Whoever holds it is the mesh. */
export function saveRootKey(home: string, slug: string, seed: string): string {
  ensurePrivateFolder(home)
  ensurePrivateFolder(join(home, 'roots'))
  const file = rootKeyFile(home, slug)
  try {
    createPrivate(file, `${seed}\n`)
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'EEXIST') throw cause
    throw new Failure('already_joined', `${file} holds the root key of an earlier mesh of that name; move it away first`, { cause })
  }
  return file
}

/** The seed of the root key, if it is still on this machine. */
export function loadRootKey(home: string, slug: string): string | undefined {
  return readPrivate(rootKeyFile(home, slug))?.trim()
}
