import { appendFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Seen, StatePin } from '@claudemesh/client'
import { ensurePrivateFolder, readPrivate, replacePrivate } from './private-file.ts'

/**
 * The highest versions this user has seen of a mesh's state, one line each, keys by their hashes alone. Processes only append; what is superseded goes when a
 * file has become mostly that. A line lost in such a moment makes an old value less easy to find out, nothing else.
 */
export function statePin(home: string, mesh: string): StatePin {
  const folder = join(home, 'states')
  const file = join(folder, mesh)
  const rows = new Map<string, Seen>()
  let lines = 0
  const take = (text: string) => {
    for (const line of text.split('\n')) {
      const [id, seen] = parse(line) ?? []
      if (id === undefined || !seen) continue
      lines++
      if (seen.version >= (rows.get(id)?.version ?? 0)) rows.set(id, seen)
    }
  }
  const append = (id: string, seen: Seen) => {
    ensurePrivateFolder(home)
    ensurePrivateFolder(folder)
    if (lines === 0 || lines > 2 * rows.size + 1000) {
      lines = 0
      take(readPrivate(file) ?? '')
      replacePrivate(file, [...rows].map((row) => format(...row)).join(''))
      lines = rows.size
    } else {
      appendFileSync(file, format(id, seen), { mode: 0o600 })
      lines++
    }
  }
  return {
    load: () => {
      take(readPrivate(file) ?? '')
      return rows
    },
    raise: (id, seen) => {
      rows.set(id, seen)
      try {
        append(id, seen)
      } catch {
        // A full disk must not make a write look failed that the mesh has taken.
      }
    },
  }
}

// A plain mesh names its rows by keys, which may contain spaces.
const format = (id: string, { version, hash, deleted, at }: Seen) => `${version} ${hash ?? '-'} ${deleted ? 1 : 0} ${at} ${id}\n`

function parse(line: string): [string, Seen] | undefined {
  const match = /^(\d{1,10}) (-|[A-Za-z0-9_-]{43}) ([01]) (\d{1,16}) (.+)$/u.exec(line)
  if (!match) return undefined
  const [, version, hash, deleted, at, id = ''] = match
  return [id, { version: Number(version), ...(hash === '-' ? {} : { hash }), deleted: deleted === '1', at: Number(at) }]
}
