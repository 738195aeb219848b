import { readFileSync } from 'node:fs'

/** Whether a process of that id runs, whoever owns it. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return false
  }
  // What has ended, and waits to be taken note of by its parent, still answers to signals.
  return statOf(pid)[0] !== 'Z'
}

/** The id with the start time, where the system tells it: a later process that got the same id is another one. */
export function processMark(pid: number): string {
  return `${pid} ${statOf(pid)[19] ?? ''}`
}

/** The fields of Linux's /proc/<pid>/stat from the state on; elsewhere none. */
function statOf(pid: number): string[] {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  } catch {
    return []
  }
}
