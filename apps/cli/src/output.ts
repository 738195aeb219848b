import { stripVTControlCharacters, styleText } from 'node:util'
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

  /** The same, and resolves when whoever reads has taken it; never, when nobody reads any more. */
  taken({ json, text }: Result): Promise<void> {
    const lines = this.json ? JSON.stringify(json) : typeof text === 'string' ? text : text.join('\n')
    return new Promise((resolve) => this.#context.stdout.write(`${lines}\n`, (error) => !error && resolve()))
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

// Joiners between letters or pictures are part of what is written: of an emoji of several, of a Persian word.
const joiner = /(?<=[\p{L}\p{M}\p{Extended_Pictographic}\p{Emoji_Modifier}])[\u{200c}\u{200d}](?=[\p{L}\p{Extended_Pictographic}])/gu

/** Text of others for a terminal: control and bidi characters are shown as codes, line breaks stay. */
export function plainText(text: string): string {
  const joined = new Set([...text.matchAll(joiner)].map((match) => match.index))
  // eslint-disable-next-line no-control-regex
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Co}]/gu, (c, at: number) =>
    c === '\n' || c === '\t' || joined.has(at) ? c : `\\u{${(c.codePointAt(0) ?? 0).toString(16)}}`,
  )
}

const graphemes = new Intl.Segmenter(undefined, { granularity: 'grapheme' })
const wide =
  /^(?:\p{Emoji_Presentation}|\p{Extended_Pictographic}\u{fe0f}|\p{sc=Han}|\p{sc=Hira}|\p{sc=Kana}|\p{sc=Hang}|[\u{3000}-\u{303e}\u{ff01}-\u{ff60}\u{ffe0}-\u{ffe6}])/u

/** How many columns of a terminal a text takes. */
function width(text: string): number {
  let sum = 0
  for (const { segment } of graphemes.segment(stripVTControlCharacters(text))) sum += wide.test(segment) ? 2 : 1
  return sum
}

/** Rows as aligned columns. */
export function columns(rows: readonly (readonly string[])[]): string[] {
  const widths: number[] = []
  for (const row of rows) for (const [i, cell] of row.entries()) widths[i] = Math.max(widths[i] ?? 0, width(cell))
  return rows.map((row) =>
    row
      .map((cell, i) => (i === row.length - 1 ? cell : cell + ' '.repeat((widths[i] ?? 0) - width(cell))))
      .join('  ')
      .trimEnd(),
  )
}
