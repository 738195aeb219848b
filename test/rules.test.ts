import { globSync, readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { rules } from './rules.ts'

const citations = globSync('test/**/*.test.ts').flatMap((file) =>
  [...readFileSync(file, 'utf8').matchAll(/^\s*verifies\(([^)]*)\)/gm)].flatMap((call) =>
    [...(call[1] ?? '').matchAll(/'([^']+)'/g)].map((id) => ({ id: id[1] ?? '', file })),
  ),
)
const cited = new Set(citations.map((c) => c.id))
const deferred = Object.entries(rules).filter(([, rule]) => 'later' in rule)

test('every rule that is not for later is cited by a test', () => {
  const ids = Object.keys(rules).filter((id) => !cited.has(id) && !deferred.some(([name]) => name === id))
  expect(ids).toEqual([])
})

test('every cited rule exists', () => {
  expect(citations.filter((c) => !Object.hasOwn(rules, c.id))).toEqual([])
})

test('no cited rule is still marked for later', () => {
  expect(deferred.map(([id]) => id).filter((id) => cited.has(id))).toEqual([])
})
