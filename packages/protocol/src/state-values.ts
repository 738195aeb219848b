import { MeshError } from './errors.ts'
import { limits } from './limits.ts'

// What shows as nothing would make two keys of one.
const unseen = /[\p{C}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/u
const encoder = new TextEncoder()

/** A key of the shared state in its one form, NFC. Throws `bad_key` saying which rule it breaks. */
export function parseStateKey(text: string): string {
  const key = text.normalize('NFC')
  if (key === '') throw new MeshError('bad_key', 'the key is empty')
  if (key.length > limits.stateKeyChars) throw new MeshError('bad_key', `the key is over ${limits.stateKeyChars} characters`)
  if (!key.isWellFormed()) throw new MeshError('bad_key', 'the key contains half a character (a lone surrogate)')
  if (unseen.test(key)) throw new MeshError('bad_key', 'the key contains control or invisible characters')
  return key
}

/** A value of the shared state as JSON text. Throws `bad_value` unless JSON can say it and every store can keep it, `too_large` beyond 64 KiB. */
export function stateJson(value: unknown, form: 'sealed' | 'plain'): string {
  check(value, form === 'plain' ? limits.plainStateDepth : limits.stateDepth)
  const text = JSON.stringify(value)
  const bytes = encoder.encode(text).length
  if (bytes > limits.stateValue) throw new MeshError('too_large', `the value is ${bytes} bytes of JSON, over ${limits.stateValue}`)
  return text
}

function check(value: unknown, levels: number): void {
  if (value === null || typeof value === 'boolean') return
  if (typeof value === 'string') checkText(value)
  else if (typeof value === 'number') {
    if (!Number.isFinite(value)) throw new MeshError('bad_value', 'the value contains a number that JSON cannot say')
  } else if (typeof value !== 'object') throw new MeshError('bad_value', `the value contains ${typeof value}, which JSON cannot say`)
  else if (levels === 0) throw new MeshError('bad_value', 'the value is nested too deep: 32 levels, in a plain mesh 28')
  else
    for (const [name, item] of Object.entries(value)) {
      checkText(name)
      check(item, levels - 1)
    }
}

function checkText(text: string): void {
  if (text.includes('\0')) throw new MeshError('bad_value', 'the value contains the character NUL')
  if (!text.isWellFormed()) throw new MeshError('bad_value', 'the value contains half a character (a lone surrogate)')
}

/** Whether a key matches a pattern in which each * stands for any characters. */
export function matchesKey(pattern: string, key: string): boolean {
  const [first = '', ...rest] = pattern.normalize('NFC').split('*')
  const last = rest.pop()
  if (last === undefined) return key === first
  if (!key.startsWith(first) || !key.endsWith(last) || key.length < first.length + last.length) return false
  const end = key.length - last.length
  let at = first.length
  for (const part of rest) {
    const found = key.indexOf(part, at)
    if (found < 0 || found + part.length > end) return false
    at = found + part.length
  }
  return true
}
