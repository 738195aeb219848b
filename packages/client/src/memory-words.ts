import type { Query } from '@claudemesh/protocol'
import { stemmer } from 'stemmer'

// What PostgreSQL's English dictionary leaves out, too, so that both forms of the memory find the same.
const stopWords = new Set(
  (
    'i me my myself we our ours ourselves you your yours yourself yourselves he him his himself she her hers herself it its itself they them their theirs ' +
    'themselves what which who whom this that these those am is are was were be been being have has had having do does did doing a an the and but if or because ' +
    'as until while of at by for with about against between into through during before after above below to from up down in out on off over under again ' +
    'further then once here there when where why how all any both each few more most other some such no nor not only own same so than too very s t can will ' +
    'just don should now'
  ).split(' '),
)

const word = /[\p{L}\p{M}\p{N}]+/gu
const stems = new Map<string, string>()
const mostStems = 50_000

/** The words of a text, folded. */
export const wordsOf = (text: string): string[] => text.normalize('NFKC').toLowerCase().match(word) ?? []

/** The stem of a folded word, none for a word that says nothing. */
export function stemOf(text: string): string | undefined {
  if (stopWords.has(text)) return undefined
  let stem = stems.get(text)
  if (stem === undefined) {
    if (stems.size >= mostStems) stems.clear()
    stem = stemmer(text)
    stems.set(text, stem)
  }
  return stem
}

/** Whether a text has every phrase of a query and nothing that it excludes. */
export function admits({ phrases, without }: Query, text: string): boolean {
  if (phrases.length === 0 && without.length === 0) return true
  const line = lineOf(text)
  return phrases.every((phrase) => line.includes(lineOf(phrase))) && !without.some((phrase) => line.includes(lineOf(phrase)))
}

const lineOf = (text: string): string => ` ${wordsOf(text).map(stemmer).join(' ')} `
