import { parseQuery, type MemoryId } from '@claudemesh/protocol'
import { expect, test } from 'vitest'
import { MemoryIndex } from '../../packages/client/src/memory-index.ts'
import { admits } from '../../packages/client/src/memory-words.ts'
import { corpus, judge } from '../memory/corpus.ts'

const index = new MemoryIndex()
for (const { key, content, tags } of corpus) index.add({ id: key as MemoryId, content, tags, at: 1 })
const find = (query: string) => index.find(parseQuery(query)).map(({ id }) => id as string)

test.each([
  ['stems', 'deploying releases on fridays', 'dep.friday'],
  ['the beginning of a word', 'idempot', 'pay.idem'],
  ['a typo', 'autovacum', 'db.vacuum'],
  ['two letters swapped', 'chargebakcs', 'pay.dispute'],
  ['tags', 'docs', 'ppl.docs'],
  ['another case and width', 'ＯＡＵＴＨ callback', 'auth.oauth'],
])('finds by %s', (_, query, key) => {
  expect(find(query)[0]).toBe(key)
})

test('nothing comes of words that say nothing, or of none', () => {
  for (const query of ['the of and', '', ':*&|!()', '-deploy', '""']) expect(find(query)).toEqual([])
})

test('an index that was saved answers as before, and takes more', () => {
  const saved = new MemoryIndex(index.save())
  expect(saved.find(parseQuery('payments rate limit'))).toEqual(index.find(parseQuery('payments rate limit')))
  saved.add({ id: 'new' as MemoryId, content: 'Zeppelins are stored in hangar nine', tags: [], at: 2 })
  expect(saved.find(parseQuery('zeppelin'))).toEqual([{ id: 'new', tags: [], at: 2 }])
  saved.remove('new' as MemoryId)
  expect(saved.find(parseQuery('zeppelin'))).toEqual([])
  saved.add({ id: 'new' as MemoryId, content: 'Balloons now', tags: [], at: 3 })
  expect(saved.find(parseQuery('balloon'))).toHaveLength(1)
})

test('phrases and exclusions count in every form of their words', () => {
  const text = 'Secrets are mounted as files and never as environment variables'
  expect(admits(parseQuery('"environment variable"'), text)).toBe(true)
  expect(admits(parseQuery('"mounted environment"'), text)).toBe(false)
  expect(admits(parseQuery('secret -file'), text)).toBe(false)
  expect(admits(parseQuery('secret -"file mounted"'), text)).toBe(true)
})

test('of the judged questions the right answer stands first, or nearly', async () => {
  // Measured: 0.95 with MiniSearch and Porter’s stems; without stems 0.92. Below 0.94 something got worse.
  expect((await judge((query) => Promise.resolve(find(query)))).mrr).toBeGreaterThan(0.94)
})
