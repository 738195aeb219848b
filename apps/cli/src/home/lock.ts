import { readFileSync, rmSync } from 'node:fs'
import { setTimeout as wait } from 'node:timers/promises'
import { Failure } from '../failure.ts'
import { createPrivate } from './private-file.ts'
import { isAlive } from './alive.ts'

const tries = 250
const pause = 20

/** Runs `task` while holding the lock file; waits up to five seconds for another process, and takes over from one that died. */
export async function withLock<T>(path: string, task: () => T): Promise<T> {
  for (let i = 0; i < tries; i++) {
    if (take(path)) {
      try {
        return task()
      } finally {
        rmSync(path, { force: true })
      }
    }
    await wait(pause)
  }
  throw new Failure('locked', `another claudemesh process holds ${path}; wait for it, or remove that file if none runs`)
}

/** Runs `task` while holding the lock file; returns without running it while a living process holds it. */
export async function ifUnlocked(path: string, task: () => Promise<void>): Promise<void> {
  // The first try removes the lock of a process that died.
  if (!take(path) && !take(path)) return
  try {
    await task()
  } finally {
    rmSync(path, { force: true })
  }
}

/** Takes the lock file for this process; false while a living process holds it. */
function take(path: string): boolean {
  try {
    createPrivate(path, String(process.pid))
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    const holder = holderOf(path)
    if (holder !== undefined && !isAlive(holder)) rmSync(path, { force: true })
    return false
  }
}

/** The process that holds a lock file; undefined when there is none, or it is just being written. */
function holderOf(path: string): number | undefined {
  try {
    return Number(readFileSync(path, 'utf8')) || undefined
  } catch {
    return undefined
  }
}
