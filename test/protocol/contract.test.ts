import { contract, contractVersion } from '@claudemesh/protocol'
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { request, event } from '../../packages/protocol/src/define.ts'
import { breaks, lockOf, type Lock } from '../../packages/protocol/src/lock.ts'
import { reference } from '../../packages/protocol/src/reference.ts'

const read = (name: string) => readFileSync(new URL(`../../packages/protocol/${name}`, import.meta.url), 'utf8')
const pinned = JSON.parse(read('contract.lock.json')) as Lock
const current = lockOf(contract, contractVersion)

describe('the pinned contract', () => {
  test('changes in a way that breaks clients only together with contractVersion', () => {
    if (contractVersion <= pinned.version) expect(breaks(pinned, current)).toEqual([])
    expect(contractVersion).toBeGreaterThanOrEqual(pinned.version)
  })

  test('is current; pnpm generate renews it', () => expect(pinned).toEqual(current))
})

describe('PROTOCOL.md', () => {
  test('is current; pnpm generate renews it', () => expect(read('PROTOCOL.md')).toBe(reference(contract, contractVersion)))

  test('has a heading for every member of the contract', () => {
    const headings = read('PROTOCOL.md').matchAll(/^### (.+)$/gm)
    expect([...headings].map((h) => h[1])).toEqual(expect.arrayContaining(Object.keys(current.members)))
  })
})

describe('breaks', () => {
  const lock = (input: z.ZodRawShape, output: z.ZodRawShape = {}, type = 'ask', phase: 'greeting' | 'ready' = 'ready') =>
    lockOf({ noun: { ask: request(type, { doc: '', input, output, phase }), told: event('told', { doc: '', body: output }) } }, 1)
  const text = z.string()
  const short = z.string().max(5)
  const list = (n: number) => z.array(text).max(n)

  test.each([
    ['nothing changed', lock({ a: short }, { b: text }), lock({ a: short }, { b: text })],
    ['a new optional field of a request', lock({ a: text }), lock({ a: text, b: text.optional() })],
    ['a field of a request that became optional', lock({ a: text }), lock({ a: text.optional() })],
    ['a request that lost a field', lock({ a: text, b: text }), lock({ a: text })],
    ['a wider limit of a request', lock({ a: short, l: list(1) }), lock({ a: z.string().max(6), l: list(2) })],
    ['one more value in a request', lock({ a: z.enum(['x']) }), lock({ a: z.enum(['x', 'y']) })],
    ['an alternative more in a request', lock({ a: text }), lock({ a: z.union([text, z.array(text)]) })],
    ['another sentence of documentation', lock({ a: text.describe('one') }), lock({ a: text.describe('two') })],
    ['a new field of an answer', lock({}, { b: text }), lock({}, { b: text, c: text })],
    ['a narrower answer', lock({}, { b: text, n: z.int() }), lock({}, { b: short, n: z.int().min(0) })],
    ['an answer with fewer values', lock({}, { b: z.enum(['x', 'y']) }), lock({}, { b: z.enum(['x']) })],
  ])('%s breaks nothing', (_, before, after) => expect(breaks(before, after)).toEqual([]))

  test.each([
    ['a removed request', lock({}), lock({}, {}, 'question'), ['ask: removed']],
    ['another phase', lock({}), lock({}, {}, 'ask', 'greeting'), ['ask: phase ready became greeting']],
    ['a new required field', lock({}), lock({ a: text }), ['ask.a: is required']],
    ['an optional field that became required', lock({ a: text.optional() }), lock({ a: text }), ['ask.a: is required']],
    ['another type', lock({ a: text }), lock({ a: z.boolean() }), ['ask.a: string became boolean']],
    ['a lower limit', lock({ a: text }), lock({ a: short }), ['ask.a: lower maxLength']],
    ['a higher minimum', lock({ a: z.int().min(0) }), lock({ a: z.int().min(1) }), ['ask.a: higher minimum']],
    ['a shorter list', lock({ a: list(2) }), lock({ a: list(1) }), ['ask.a: lower maxItems']],
    ['a field inside a list', lock({ a: z.array(z.object({})) }), lock({ a: z.array(z.object({ b: text })) }), ['ask.a[].b: is required']],
    ['a pattern', lock({ a: text }), lock({ a: z.string().regex(/^x/) }), ['ask.a: another pattern']],
    ['a value less', lock({ a: z.enum(['x', 'y']) }), lock({ a: z.enum(['x']) }), ['ask.a: fewer values']],
    ['another constant', lock({ a: z.literal(1) }), lock({ a: z.literal(2) }), ['ask.a: fewer values']],
    ['an alternative less', lock({ a: z.union([text, z.array(text)]) }), lock({ a: text }), ['ask.a: array became string']],
    ['a lost answer field', lock({}, { b: text }), lock({}), ['ask answer.b: is required', 'told answer.b: is required']],
    [
      'an answer field that became optional',
      lock({}, { b: text }),
      lock({}, { b: text.optional() }),
      ['ask answer.b: is required', 'told answer.b: is required'],
    ],
    [
      'a new value in an answer',
      lock({}, { b: z.enum(['x']) }),
      lock({}, { b: z.enum(['x', 'y']) }),
      ['ask answer.b: fewer values', 'told answer.b: fewer values'],
    ],
  ])('%s breaks', (_, before, after, found) => expect(breaks(before, after)).toEqual(found))
})
