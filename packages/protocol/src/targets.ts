import { MeshError } from './errors.ts'
import { limits } from './limits.ts'
import { foldName, parseGroup, parseLabel } from './names.ts'

/** What one entry of `to` means; the client resolves it over verified presence. */
export type Target =
  | { readonly kind: 'everyone' }
  | { readonly kind: 'group'; readonly group: string }
  /** A folded name, narrowed by a key prefix (`Alice/3f2a`) or by the member's name (`Alice (Anna)`). */
  | { readonly kind: 'peer'; readonly name: string; readonly keyPrefix?: string; readonly member?: string }

/** Parses one target: `*`, `@all`, `@group`, a name, `name/keyprefix`, `name (member)` or a key prefix. Throws `bad_name`. */
export function parseTarget(text: string): Target {
  const t = text.trim()
  if (t === '*') return { kind: 'everyone' }
  if (t.startsWith('@')) {
    const group = parseGroup(t)
    return group === 'all' ? { kind: 'everyone' } : { kind: 'group', group }
  }
  const byKey = /^(.+)\/([A-Za-z0-9_-]{2,43})$/su.exec(t)
  if (byKey?.[1] && byKey[2]) return { kind: 'peer', name: foldName(byKey[1]), keyPrefix: byKey[2] }
  const byMember = /^(.+?)\s*\(([^()]+)\)$/su.exec(t)
  if (byMember?.[1] && byMember[2]) return { kind: 'peer', name: foldName(byMember[1]), member: foldName(byMember[2]) }
  if (t === '') throw new MeshError('bad_name', 'the target is empty')
  return { kind: 'peer', name: foldName(t) }
}

/** The addresses a presence answers to, beside its session key: `*`, `@all` and its groups. */
export function addressesOf(groups: readonly { readonly name: string }[]): Set<string> {
  return new Set(['*', '@all', ...groups.map((g) => `@${g.name}`)])
}

/** `frontend:lead,reviewers` as groups with roles, the last word on each group; empty text is none. Throws `bad_name`. */
export function parseGroupList(text: string): { name: string; role?: string }[] {
  const roles = new Map<string, string>()
  for (const part of text.split(',').map((p) => p.trim())) {
    if (part === '') continue
    const [name = '', ...role] = part.split(':')
    roles.set(parseGroup(name.trim()), parseLabel(role.join(':'), 'role', limits.roleChars))
  }
  return [...roles].map(([name, role]) => (role === '' ? { name } : { name, role }))
}
