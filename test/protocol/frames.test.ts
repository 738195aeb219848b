import { check, contract, limits, parseClientFrame, parseJson, requests } from '@claudemesh/protocol'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { clientFrames, key } from './examples.ts'
import { codeOf } from './refusal.ts'

const bad = (says: RegExp) => expect.objectContaining({ code: 'bad_frame', message: expect.stringMatching(says) })
const nested = (depth: number, inner = '') => `{"type":"bye","x":${'['.repeat(depth - 1)}${inner}${']'.repeat(depth - 1)}}`

/** The depth of a parsed value, counted by plain recursion. */
function depthOf(value: unknown): number {
  return typeof value === 'object' && value !== null ? 1 + Math.max(0, ...Object.values(value).map(depthOf)) : 0
}

describe('parseJson', () => {
  test.each([
    ['nothing', '', /not JSON/],
    ['half an object', '{"type":"bye"', /not JSON/],
    ['an open string', '{"type":"by', /not JSON/],
    ['text after the object', '{"type":"bye"}{}', /not JSON/],
    ['a raw line break in a string', '{"type":"a\nb"}', /not JSON/],
    ['an array', '[]', /not a JSON object/],
    ['null', 'null', /not a JSON object/],
    ['a string', '"bye"', /not a JSON object/],
    ['a number', '1e400', /not a JSON object/],
    ['no type', '{"id":"1"}', /no type/],
    ['a type that is no string', '{"type":["bye"]}', /no type/],
    ['a type only in the prototype', '{"__proto__":{"type":"bye"}}', /no type/],
  ])('refuses %s', (_, text, says) => expect(() => parseJson(text)).toThrow(bad(says)))

  test('takes 32 levels and refuses 33, of arrays, of objects and when never closed', () => {
    expect(parseJson(nested(limits.jsonDepth))).toMatchObject({ type: 'bye' })
    expect(() => parseJson(nested(limits.jsonDepth + 1))).toThrow(bad(/deeper than 32/))
    expect(() => parseJson(`${'{"type":'.repeat(33)}1${'}'.repeat(33)}`)).toThrow(bad(/deeper than 32/))
    expect(() => parseJson('['.repeat(100_000))).toThrow(bad(/deeper than 32/))
  })

  test.each([
    ['brackets', '['.repeat(40)],
    ['an escaped quote before brackets', `\\"${'['.repeat(40)}`],
    ['an escaped backslash at the end', `${'{'.repeat(40)}\\\\`],
    ['escaped backslashes and quotes in turn', '\\\\\\"['.repeat(40)],
    ['an escaped bracket', '\\u005b'.repeat(40)],
  ])('does not count %s inside a string', (_, string) => {
    expect(parseJson(`{"type":"bye","x":"${string}"}`).type).toBe('bye')
    expect(() => parseJson(nested(33, `"${string}"`))).toThrow(bad(/deeper than 32/))
  })

  test('counts brackets after a string that ends in a backslash', () => {
    expect(() => parseJson(`{"type":"\\\\","x":${'['.repeat(32)}${']'.repeat(32)}}`)).toThrow(bad(/deeper than 32/))
  })

  test('agrees with plain recursion on random JSON', () => {
    const wrapped = fc.tuple(fc.jsonValue({ maxDepth: 6 }), fc.integer({ min: 20, max: 34 }), fc.string({ unit: fc.constantFrom(...'[]{}"\\,:a') }))
    fc.assert(
      fc.property(wrapped, ([value, levels, string]) => {
        let x: unknown = [string, value]
        for (let i = 0; i < levels; i++) x = i % 2 ? { [string]: x } : [x]
        const frame = { type: string, x }
        const parse = () => parseJson(JSON.stringify(frame))
        if (depthOf(frame) > limits.jsonDepth) expect(parse).toThrow(bad(/deeper/))
        else expect(parse()).toEqual(JSON.parse(JSON.stringify(frame)))
      }),
      { numRuns: 1000 },
    )
  })
})

describe('parseClientFrame', () => {
  test('there is one good frame for every request and notice, and the contract takes it', () => {
    expect(Object.keys(clientFrames).toSorted()).toEqual([...requests.keys()].toSorted())
    for (const [type, fields] of Object.entries(clientFrames)) {
      expect(parseClientFrame({ id: key(22), ...fields, type })).toMatchObject({ member: requests.get(type), input: fields })
    }
  })

  test.each(['', 'sen', 'SEND', 'push', 'hello_ack', '__proto__', 'constructor', 'toString'])('refuses the type %j', (type) => {
    expect(() => parseClientFrame({ type, id: '1' })).toThrow(bad(/unknown type/))
  })

  test('shows no more than 40 characters of an unknown type', () => {
    expect(() => parseClientFrame({ type: 'x'.repeat(5000) })).toThrow(bad(/^unknown type "x{40}"$/))
  })

  test.each([undefined, '', 'i'.repeat(65), 7, null, {}])('refuses the request id %j', (id) => {
    expect(() => parseClientFrame({ type: 'list_peers', id })).toThrow(bad(/list_peers\.id/))
  })

  test('a notice needs no id and reports none', () => expect(parseClientFrame({ type: 'bye', id: 'x' }).id).toBeUndefined())

  test('ignores unknown fields, __proto__ among them', () => {
    const json = parseJson(
      '{"type":"set_status","id":"1","status":"dnd","__proto__":{"status":"idle","polluted":1},"constructor":{"prototype":{"polluted":1}},"cwd":"/"}',
    )
    const { input } = parseClientFrame(json)
    expect(input).toEqual({ status: 'dnd' })
    expect(Object.getPrototypeOf(input)).toBe(Object.prototype)
    expect({}).not.toHaveProperty('polluted')
  })

  test('does not take a field from the prototype', () => {
    expect(() => parseClientFrame(parseJson('{"type":"set_status","id":"1","__proto__":{"status":"idle"}}'))).toThrow(bad(/set_status\.status/))
  })

  test('names the field, with its place in an array', () => {
    const hello = { ...clientFrames['hello'], type: 'hello', id: '1', groups: [{ name: 'a' }, { name: 7 }] }
    expect(() => parseClientFrame(hello)).toThrow(bad(/^hello\.groups\.1\.name: /))
    expect(() => parseClientFrame({ ...clientFrames['send'], type: 'send', id: key(22), targetSpec: ['*', 'Alice'] })).toThrow(
      bad(/^send\.targetSpec\.1: expected \*, @group/),
    )
  })
})

test('whatever arrives, parsing throws nothing but a MeshError', () => {
  const allowed = [undefined, 'bad_frame', 'too_large']
  const types = fc.constantFrom(...requests.keys())
  const fields = fc.constantFrom(...new Set(Object.values(clientFrames).flatMap((frame) => Object.keys(frame))), 'id', '__proto__')
  const frame = fc.tuple(types, fc.dictionary(fields, fc.jsonValue())).map(([type, rest]) => ({ ...clientFrames[type], ...rest, type }))
  const text = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.json(),
    frame.map((f) => JSON.stringify(f)),
  )
  fc.assert(
    fc.property(text, (received) => {
      expect(allowed).toContain(codeOf(() => parseClientFrame(parseJson(received))))
    }),
    { numRuns: 3000 },
  )
})

test('check hands on the body it was given, and refuses one of the wrong form by field', () => {
  const gone = { sessionPubkey: key(43), reason: 'left' }
  expect(check('peer_gone', contract.peers.gone.body, gone)).toEqual(gone)
  expect(() => check('peer_gone', contract.peers.gone.body, { ...gone, reason: 'bored' })).toThrow(bad(/^peer_gone\.reason: /))
  expect(() => check('peer_gone', contract.peers.gone.body, null)).toThrow(bad(/^peer_gone/))
})
