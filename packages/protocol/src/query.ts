/** What to search for: any of these words, each of these phrases, and none of what is excluded. */
export interface Query {
  readonly words: readonly string[]
  readonly phrases: readonly string[]
  readonly without: readonly string[]
}

const part = /(-?)"([^"]*)"|(\S+)/gu
const word = /[\p{L}\p{M}\p{N}]+/gu
const mostWords = 64

/** Reads what somebody typed into a search: words, "phrases" and -exclusions, nothing else has a meaning. Never throws; beyond 64 words the rest is dropped. */
export function parseQuery(text: string): Query {
  const words: string[] = []
  const phrases: string[] = []
  const without: string[] = []
  for (const [, minus, phrase, single = ''] of text.toWellFormed().normalize('NFKC').toLowerCase().matchAll(part)) {
    const found = (phrase ?? single).match(word) ?? []
    if (found.length === 0) continue
    if (minus === '-' || single.startsWith('-')) without.push(found.join(' '))
    else if (phrase !== undefined && found.length > 1) phrases.push(found.join(' '))
    else words.push(...found)
  }
  return { words: [...new Set(words)].slice(0, mostWords), phrases: phrases.slice(0, mostWords), without: without.slice(0, mostWords) }
}
