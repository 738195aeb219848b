import { MeshError } from './errors.ts'
import { limits } from './limits.ts'

const reserved = new Set(['all', '*', 'me', 'system', 'broker', 'user'])
// Kept for the target grammar and the frame around peer text.
const forbidden = /[@*/(),:#<>"\\[\]{}|`]/u
// The emoji selector U+FE0F may stand in a label; in a name it would make two of one.
const invisible = /[\p{C}\p{Zl}\p{Zp}\u115F\u1160\u3164\uFFA0]|\u034F|\u17B4|\u17B5/u
const group = /^[\p{L}\p{N}][\p{L}\p{M}\p{N}._-]*$/u

// Scripts that one name may mix (UTS 39, highly restrictive).
const scriptSets = [
  ['Latin'],
  ['Latin', 'Han', 'Hiragana', 'Katakana'],
  ['Latin', 'Han', 'Hangul'],
  ['Latin', 'Han', 'Bopomofo'],
  ...[
    'Cyrillic',
    'Greek',
    'Arabic',
    'Hebrew',
    'Devanagari',
    'Bengali',
    'Gurmukhi',
    'Gujarati',
    'Oriya',
    'Tamil',
    'Telugu',
    'Kannada',
    'Malayalam',
    'Sinhala',
    'Thai',
    'Lao',
    'Tibetan',
    'Myanmar',
    'Georgian',
    'Ethiopic',
    'Khmer',
    'Mongolian',
    'Armenian',
  ].map((script) => [script]),
]
const singleScript = scriptSets.map((set) => new RegExp(`^[\\p{Script=Common}\\p{Script=Inherited}${set.map((s) => `\\p{Script=${s}}`).join('')}]*$`, 'u'))

/** The form under which two names are the same: NFKC, lower case, single spaces. */
export function foldName(name: string): string {
  return name.normalize('NFKC').toLowerCase().normalize('NFKC').trim().replace(/\s+/gu, ' ')
}

/** A peer's name as it is shown: NFKC, trimmed. Throws `bad_name` saying which rule it breaks. */
export function parseName(text: string): string {
  const name = text.normalize('NFKC').trim().replace(/\s+/gu, ' ')
  refuse(name, 'name')
  if (forbidden.test(name)) throw new MeshError('bad_name', `the name ${quote(name)} contains one of @ * / ( ) , : # < > " \\ [ ] { } | \``)
  return name
}

/** A group's name in its one folded form, a leading @ removed. Throws `bad_name` saying which rule it breaks. */
export function parseGroup(text: string): string {
  const name = foldName(text.startsWith('@') ? text.slice(1) : text)
  refuse(name, 'group', ['all'])
  if (!group.test(name)) throw new MeshError('bad_name', `the group ${quote(name)} may contain letters, digits, . _ and -`)
  return name
}

/** A free-form label such as a role or a summary: NFC, no invisible or control characters, at most `max` characters. */
export function parseLabel(text: string, what: string, max: number): string {
  const label = text.normalize('NFC').trim()
  if (label.length > max) throw new MeshError('bad_name', `the ${what} is over ${max} characters`)
  if (invisible.test(label)) throw new MeshError('bad_name', `the ${what} contains control or invisible characters`)
  return label
}

function refuse(name: string, what: string, allowed: string[] = []): void {
  if (name === '') throw new MeshError('bad_name', `the ${what} is empty`)
  if (name.length > limits.nameChars) throw new MeshError('bad_name', `the ${what} is over ${limits.nameChars} characters`)
  if (invisible.test(name) || name.includes('\u{fe0f}')) throw new MeshError('bad_name', `the ${what} contains control or invisible characters`)
  if (!singleScript.some((script) => script.test(name))) throw new MeshError('bad_name', `the ${what} ${quote(name)} mixes scripts that look alike`)
  const folded = foldName(name)
  if (reserved.has(folded) && !allowed.includes(folded)) throw new MeshError('bad_name', `the ${what} ${quote(name)} is reserved`)
}

const quote = (text: string) => JSON.stringify(text)
