import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'

/** Claims a data folder for this process by a file beside it; the function given back releases it. A file whose process is gone is taken over. */
export function lockFolder(folder: string): () => void {
  const file = `${folder}.lock`
  for (let attempt = 0; attempt < 3; attempt++) {
    // Written first and linked then, so that nobody ever reads a half-written lock.
    const draft = `${file}.${process.pid}.new`
    writeFileSync(draft, identityOf(process.pid), { mode: 0o600 })
    try {
      linkSync(draft, file)
      return () => rmSync(file, { force: true })
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
      setAside(file, folder)
    } finally {
      rmSync(draft, { force: true })
    }
  }
  throw new Error(`the data folder ${folder} is contended by several processes; try again`)
}

function setAside(file: string, folder: string): void {
  const owner = read(file)
  const pid = Number(owner.split(' ')[0])
  if (pid > 0 && identityOf(pid) === owner) {
    throw new Error(`the data folder ${folder} is open in process ${pid}; stop it first, or choose another folder`)
  }
  // Renaming lets one of several contenders win; removing could take away a fresh lock.
  const stale = `${file}.${process.pid}`
  try {
    renameSync(file, stale)
  } catch {
    return
  }
  if (read(stale) === owner) rmSync(stale, { force: true })
  else renameSync(stale, file)
}

/** The pid with its start time, where the system tells it, so that a reused pid is not mistaken; empty when no such process runs. */
function identityOf(pid: number): string {
  try {
    process.kill(pid, 0)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return ''
  }
  const stat = read(`/proc/${pid}/stat`)
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  // What was killed, and waits for a parent that takes no note of it, still answers to signals.
  return fields[0] === 'Z' ? '' : `${pid} ${fields[19] ?? ''}`
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return ''
  }
}
