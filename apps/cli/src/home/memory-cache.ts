import { appendFileSync, closeSync, constants, fstatSync, ftruncateSync, openSync, readSync } from 'node:fs'
import { join } from 'node:path'
import type { MemoryCache } from '@claudemesh/client'
import { withLock } from './lock.ts'
import { ensurePrivateFolder, readPrivate, replacePrivate, requirePrivateFolder } from './private-file.ts'

const longestHead = 256

/**
 * The sealed memory of a mesh under the home folder. Whatever fails costs time alone: nothing is kept then, and the next session syncs anew. Processes that
 * find the file begun anew by another stop adding to it, so that it never has a hole.
 */
export function memoryCache(home: string, mesh: string): MemoryCache {
  const folder = join(home, 'cache', mesh)
  const places = [home, join(home, 'cache'), folder]
  const file = join(folder, 'memory')
  const index = join(folder, 'memory.index')
  let head: string | undefined
  return {
    load: async () => {
      const text = attempt(() => readIn(file))
      head = text && headOf(text)
      return text
    },
    append: async (lines) => {
      const known = head
      if (known === undefined) return
      const added = await locked(() => append(file, known, lines))
      if (!added) head = undefined
    },
    replace: async (lines) => {
      const replaced = await locked(() => replacePrivate(file, lines))
      head = replaced ? headOf(lines) : undefined
    },
    loadIndex: async () => attempt(() => readIn(index)),
    saveIndex: async (sealed) => {
      if (head !== undefined) await locked(() => replacePrivate(index, sealed))
    },
  }

  function readIn(path: string): string | undefined {
    for (const place of places) requirePrivateFolder(place)
    return readPrivate(path)
  }

  /** Whether the task was done, and not refused. */
  async function locked(task: () => boolean | void): Promise<boolean> {
    try {
      for (const place of places) ensurePrivateFolder(place)
      return (await withLock(`${file}.lock`, task)) !== false
    } catch {
      return false
    }
  }
}

const headOf = (text: string): string => text.slice(0, text.indexOf('\n') + 1)

/** Adds lines to the file that begins with this head, after what is whole in it; false when it is another file by now. */
function append(file: string, head: string, lines: string): boolean {
  const fd = openSync(file, constants.O_RDWR | constants.O_APPEND | (constants.O_NOFOLLOW ?? 0))
  try {
    if (headOf(read(fd, 0, longestHead)) !== head) return false
    cutTail(fd)
    appendFileSync(fd, lines)
    return true
  } finally {
    closeSync(fd)
  }
}

/** Takes away the half line that a crash left at the end. */
function cutTail(fd: number): void {
  const step = 64 * 1024
  const { size } = fstatSync(fd)
  for (let end = size; end > 0; end -= step) {
    const start = Math.max(0, end - step)
    const last = read(fd, start, end - start).lastIndexOf('\n')
    if (last < 0) continue
    if (start + last + 1 < size) ftruncateSync(fd, start + last + 1)
    return
  }
}

// The file is ASCII: characters are bytes.
function read(fd: number, from: number, length: number): string {
  const bytes = Buffer.alloc(length)
  return bytes.toString('latin1', 0, readSync(fd, bytes, 0, length, from))
}

function attempt(task: () => string | undefined): string | undefined {
  try {
    return task()
  } catch {
    return undefined
  }
}
