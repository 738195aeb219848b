import { appendFileSync, existsSync, readdirSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { MailSeen } from '@claudemesh/client'
import type { MessageId } from '@claudemesh/protocol'
import { createPrivate, ensurePrivateFolder, readPrivate } from './private-file.ts'

const day = 86_400_000
/** A message may be dated a week ahead, and be read for a week after. */
const keptDays = 15

/**
 * Which mail this user's sessions have shown: one file per day, to which every process appends a line at once, so that none needs a lock and a whole file is
 * forgotten when no broker could replay what stands in it.
 */
export function mailSeen(home: string, mesh: string, now: () => number): MailSeen {
  const folder = join(home, 'mail', mesh)
  const today = () => Math.floor(now() / day)
  const read = new Map<string, { size: number; ids: ReadonlySet<string> }>()
  const idsOf = (name: string): ReadonlySet<string> => {
    const path = join(folder, name)
    const size = statSync(path, { throwIfNoEntry: false })?.size ?? 0
    const known = read.get(name)
    if (known?.size === size) return known.ids
    const ids = new Set((readPrivate(path) ?? '').split('\n'))
    read.set(name, { size, ids })
    return ids
  }
  return {
    has: (id) => days(folder).some((name) => Number(name) > today() - keptDays && idsOf(name).has(id)),
    add: (ids: readonly MessageId[]) => {
      for (const each of [home, join(home, 'mail'), folder]) ensurePrivateFolder(each)
      const path = join(folder, String(today()))
      if (!existsSync(path)) makeOrMeet(path)
      appendFileSync(path, ids.map((id) => `${id}\n`).join(''), { flush: true })
      for (const name of days(folder)) if (Number(name) <= today() - keptDays) rmSync(join(folder, name), { force: true })
    },
  }
}

function days(folder: string): string[] {
  try {
    return readdirSync(folder).filter((name) => /^\d+$/.test(name))
  } catch {
    return []
  }
}

/** Another process may make it at the same moment. */
function makeOrMeet(path: string): void {
  try {
    createPrivate(path, '')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  }
}
