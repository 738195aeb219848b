import { isDeepStrictEqual } from 'node:util'
import { applyEdits, modify, parse, printParseErrorCode, type Edit, type ParseError } from 'jsonc-parser'
import { Failure } from '../failure.ts'

export type JsonObject = { [key: string]: unknown }

/** The object that a settings file holds, comments and trailing commas allowed. Throws `bad_settings` on anything else. */
export function readObject(path: string, text: string): JsonObject {
  const errors: ParseError[] = []
  const value: unknown = parse(text, errors, { allowTrailingComma: true })
  const [first] = errors
  if (first) throw unsafe(path, `${printParseErrorCode(first.error)} in line ${text.slice(0, first.offset).split('\n').length}`)
  if (!isObject(value)) throw unsafe(path, 'it holds no object')
  return value
}

/** A text in which values are set and removed while all else, comments and layout, stays. */
export class JsonText {
  readonly #path: string
  #text: string

  constructor(path: string, text: string) {
    this.#path = path
    this.#text = text
    readObject(path, text)
  }

  get text(): string {
    return this.#text
  }

  get value(): JsonObject {
    return readObject(this.#path, this.#text)
  }

  /** Sets the value under these keys, or removes it where it is undefined. */
  set(at: readonly string[], value: unknown): void {
    const expected = edited(this.value, at, value)
    const there = deepest(this.value, at)
    const whole = value === undefined ? value : at.slice(there + 1).reduceRight((inner, key) => ({ [key]: inner }), value)
    const edits = modify(this.#text, at.slice(0, there + 1), whole, {})
    this.#text = applyEdits(
      this.#text,
      edits.map((edit) => ({ ...edit, content: laidOut(edit, this.#text, there + 1) })),
    )
    // A key that stands twice, for instance: one is read, the other would be written.
    if (!isDeepStrictEqual(this.value, expected)) throw unsafe(this.#path, 'its form is unusual')
  }
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** That this file cannot be edited without danger to what others wrote there. */
export function unsafe(path: string, why: string): Failure {
  return new Failure('bad_settings', `${path} cannot be edited safely (${why}); nothing was changed: mend it and try again`)
}

function edited(root: JsonObject, at: readonly string[], value: unknown): JsonObject {
  const copy = structuredClone(root)
  let parent = copy
  for (const key of at.slice(0, -1)) parent = (parent[key] ??= {}) as JsonObject
  const last = at.at(-1) ?? ''
  if (value === undefined) delete parent[last]
  else parent[last] = value
  return copy
}

/** How many of the keys lead to objects that are there. */
function deepest(root: JsonObject, at: readonly string[]): number {
  let value: unknown = root
  const missing = at.slice(0, -1).findIndex((key) => !isObject((value = (value as JsonObject)[key])))
  return missing < 0 ? at.length - 1 : missing
}

/** What is written, in the layout of the file: its indentation and line ends, or all in one line where the file is. */
function laidOut({ offset, content }: Edit, text: string, level: number): string {
  const [, comma, key = '', value] = /^(,?)("(?:[^"\\]|\\.)*": ?)?([^,][^]*)$/.exec(content) ?? []
  const open = text.trim()
  if (value === undefined || (!open.includes('\n') && open !== '{}')) return content
  const indent = /^([ \t]+)"/m.exec(text)?.[1] ?? '  '
  const line = (text.includes('\r\n') ? '\r\n' : '\n') + indent.repeat(level)
  const pretty = JSON.stringify(JSON.parse(value), null, indent).replaceAll('\n', line)
  if (key === '') return pretty
  const close = comma === '' && !/^\s*\n/.test(text.slice(offset)) ? line.slice(0, line.length - indent.length) : ''
  return `${comma}${line}${key}${pretty}${close}`
}
