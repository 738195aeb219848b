// Controls, private and unassigned characters, and all that show as nothing: bidi, zero-width, tags, fillers, selectors.
const unseen = /[\p{C}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/gu
const kept = new Set(['\n', '\t', '\u{fe0f}'])
// Whatever could begin a tag. A lone < as in `a < b` stays.
const tag = /<(?=\s*[/!?]|\p{L})/gu
const escape = (char: string) => `\\u{${char.codePointAt(0)?.toString(16)}}`

/**
 * Text of a peer as a model may see it: lines and tabs stay, everything invisible and every beginning of a tag is written `\u{…}`,
 * and so is a backslash that would look like such an escape. Nothing is lost, and nothing in it can act.
 */
export function visible(text: string): string {
  return text
    .replaceAll('\r\n', '\n')
    .replace(/\\(?=u\{)/g, escape)
    .replace(unseen, (char) => (kept.has(char) ? char : escape(char)))
    .replace(tag, escape)
}

/** A value for an attribute: one line, no quotes, no brackets. */
export function attribute(text: string): string {
  return visible(text).replace(/["<>\n\t]/g, escape)
}

/** JSON whose strings and names are `visible`: no tag and no control character in it. */
export function visibleJson(value: unknown): string {
  const text = JSON.stringify(value, (_key, item: unknown) => (typeof item === 'string' ? visible(item) : isRecord(item) ? visibleNames(item) : item), 1)
  return text.replace(/[<>]/g, (char) => `\\u00${char === '<' ? '3c' : '3e'}`)
}

const isRecord = (item: unknown): item is Record<string, unknown> => typeof item === 'object' && item !== null && !Array.isArray(item)

const visibleNames = (item: Record<string, unknown>) => Object.fromEntries(Object.entries(item).map(([name, inner]) => [visible(name), inner]))
