import { parseStateKey } from '@claudemesh/protocol'
import { InvalidArgumentError } from 'commander'

const units = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const

/** `90s`, `30m`, `24h`, `7d` in milliseconds. */
export function duration(text: string): number {
  const [, count, unit] = /^(\d{1,6})([smhd])$/.exec(text) ?? []
  if (!count || Number(count) === 0) throw new InvalidArgumentError('expected a time such as 30m, 24h or 7d')
  return Number(count) * units[unit as keyof typeof units]
}

export function port(text: string): number {
  const value = /^\d{1,5}$/.test(text) ? Number(text) : Number.NaN
  if (!(value <= 65_535)) throw new InvalidArgumentError('expected a port, 0 to 65535')
  return value
}

/** In which form the broker keeps what is stored. */
export type Forms = { readonly [K in 'state' | 'memory' | 'files']?: 'sealed' | 'plain' }

/** `memory=plain`, once or several times. */
export function forms(text: string, before: Forms = {}): Forms {
  const [, noun, form] = /^(state|memory|files)=(sealed|plain)$/.exec(text) ?? []
  if (!noun) throw new InvalidArgumentError('expected something like memory=plain or state=sealed')
  return { ...before, [noun]: form }
}

export function positive(text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new InvalidArgumentError('expected a whole number above 0')
  return Number(text)
}

export function whole(text: string): number {
  if (!/^\d{1,10}$/.test(text)) throw new InvalidArgumentError('expected a whole number')
  return Number(text)
}

/** Patterns of state keys, separated by commas. */
export function patterns(text: string): string[] {
  const list = text.split(',').map((pattern) => pattern.trim())
  try {
    return list.filter((pattern) => pattern !== '').map(parseStateKey)
  } catch (error) {
    throw new InvalidArgumentError((error as Error).message)
  }
}

/** An id as `send` and `remember` print it. */
export function printedId(text: string): string {
  if (!/^[A-Za-z0-9_-]{22}$/.test(text)) throw new InvalidArgumentError('expected the 22 characters that were printed with it')
  return text
}

/** A date such as 2026-01-31, with a time of day or without, in milliseconds. */
export function date(text: string): number {
  const at = /^\d{4}-\d{2}-\d{2}/.test(text) ? Date.parse(text) : Number.NaN
  if (Number.isNaN(at)) throw new InvalidArgumentError('expected a date such as 2026-01-31')
  return at
}
/** Collects an option that may be given several times. */
export const repeated = (text: string, before: readonly string[] = []): string[] => [...before, text]

/** Tags as they are written: separated by commas. */
export const tagList = (text = ''): string[] =>
  text
    .split(',')
    .map((tag) => tag.trim())
    .filter((tag) => tag !== '')
