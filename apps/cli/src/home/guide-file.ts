import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { guide } from '../claude/guide.ts'
import { ensurePrivateFolder, replacePrivate } from './private-file.ts'

/** Puts the guide of this version into the home folder, where it is not there yet, and answers its path. */
export function placeGuide(home: string): string {
  const path = join(home, 'CLAUDEMESH.md')
  const text = guide()
  if (read(path) === text) return path
  ensurePrivateFolder(home)
  replacePrivate(path, text)
  return path
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}
