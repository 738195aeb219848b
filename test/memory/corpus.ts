import { readFileSync } from 'node:fs'

interface Remembered {
  /** Names it in the judgements. */
  readonly key: string
  readonly tags: string[]
  readonly content: string
}

interface Judged {
  readonly query: string
  /** Any of these is the right answer. */
  readonly answers: readonly string[]
}

const read = (file: string) =>
  readFileSync(new URL(file, import.meta.url), 'utf8')
    .trim()
    .split('\n')

/** What a shop's engineering teams might have learned in some years. */
export const corpus: readonly Remembered[] = read('corpus.txt').map((line) => {
  const [key = '', tags = '', ...content] = line.split('|')
  return { key, tags: tags.split(','), content: content.join('|') }
})

/** What a newcomer's session asks, and which memories answer it. */
export const judged: readonly Judged[] = read('queries.txt').map((line) => {
  const [query = '', answers = ''] = line.split('|')
  return { query, answers: answers.split(',') }
})

/** The mean of 1 ÷ the place of the first right answer, and what stands first for each query. `ask` gives the keys of the corpus, best first. */
export async function judge(ask: (query: string) => Promise<(string | undefined)[]>): Promise<{ mrr: number; first: Map<string, string | undefined> }> {
  const first = new Map<string, string | undefined>()
  let sum = 0
  for (const { query, answers } of judged) {
    const found = await ask(query)
    first.set(query, found[0])
    const place = found.findIndex((key) => key !== undefined && answers.includes(key))
    if (place >= 0) sum += 1 / (place + 1)
  }
  return { mrr: sum / judged.length, first }
}
