import { styleText } from 'node:util'
import type { Context } from './context.ts'

/** What a finished command has to say: the same thing for programs and for people. */
export interface Result {
  readonly json: unknown
  readonly text: string | readonly string[]
}

type Style = Parameters<typeof styleText>[0]

/** Where a command speaks. Colours only when a person watches. */
export class Output {
  readonly json: boolean
  readonly #context: Context

  constructor(context: Context, json: boolean) {
    this.#context = context
    this.json = json
  }

  get isTerminal(): boolean {
    return this.#context.stdout.isTTY === true
  }

  style(style: Style, text: string): string {
    return styleText(style, text, { stream: this.#context.stdout })
  }

  /** Prints the result: one line of JSON, or text. */
  result(result: Result): void {
    if (this.json) this.value(result.json)
    else this.line(...(typeof result.text === 'string' ? [result.text] : result.text))
  }

  value(value: unknown): void {
    this.#context.stdout.write(`${JSON.stringify(value)}\n`)
  }

  line(...lines: readonly string[]): void {
    for (const line of lines) this.#context.stdout.write(`${line}\n`)
  }

  /** A remark for people, beside the result: on stderr, never in the way of a pipe. */
  note(line: string): void {
    this.#context.stderr.write(`${line}\n`)
  }
}

/** Text of others for a terminal: control and bidi characters are shown as codes, line breaks stay. */
export function plainText(text: string): string {
  // eslint-disable-next-line no-control-regex
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Co}]/gu, (c) => (c === '\n' || c === '\t' ? c : `\\u{${(c.codePointAt(0) ?? 0).toString(16)}}`))
}

/** Rows as aligned columns. */
export function columns(rows: readonly (readonly string[])[]): string[] {
  const widths: number[] = []
  for (const row of rows) for (const [i, cell] of row.entries()) widths[i] = Math.max(widths[i] ?? 0, cell.length)
  return rows.map((row) =>
    row
      .map((cell, i) => (i === row.length - 1 ? cell : cell.padEnd(widths[i] ?? 0)))
      .join('  ')
      .trimEnd(),
  )
}
