import * as fc from 'fast-check'
import { MeshError, parseJson } from '@claudemesh/protocol'
import { expect, test } from 'vitest'
import { refuseTooMany, scanSend, storedSendId, wholeSend, type ScannedSend } from '../../packages/broker/src/scan.ts'
import { b64u } from './kit.ts'

const frame = () => ({
  type: 'send',
  id: b64u(16),
  targetSpec: ['@frontend', '@grüße', b64u(32)],
  priority: 'next',
  nonce: b64u(24),
  to: b64u(64),
  wraps: b64u(176),
  ciphertext: b64u(400),
})

/** As our client writes it for one address, which is read without a parser. */
const usual = (changes: Record<string, unknown> = {}) => {
  const { ciphertext, ...header } = frame()
  return { ...header, targetSpec: '@frontend', volatile: true, ...changes, ciphertext }
}

/** What the frame means to a plain parser, or by which name it is refused. */
function plainly(bytes: Buffer): ScannedSend | string {
  try {
    const json = parseJson(bytes.toString())
    refuseTooMany(json)
    return wholeSend(json)
  } catch (error) {
    return (error as MeshError).code
  }
}

function scanned(bytes: Buffer): ScannedSend | string | undefined {
  try {
    return scanSend(bytes)
  } catch (error) {
    return (error as MeshError).code
  }
}

test('a well-formed frame is scanned, and means what a parser says it means', () => {
  const bytes = Buffer.from(JSON.stringify(frame()))
  const fast = scanned(bytes) as ScannedSend
  expect(fast).toEqual(plainly(bytes))
  expect(fast.tail.toString()).toBe(`,"ciphertext":"${fast.body}"}`)
})

test.each([
  ['everybody', usual({ targetSpec: '*' })],
  ['a group', usual()],
  ['a session', usual({ targetSpec: b64u(32), to: b64u(32), wraps: undefined })],
  ['a session, stored', usual({ targetSpec: b64u(32), to: b64u(32), wraps: undefined, volatile: undefined })],
  ['a group whose name is not ASCII', usual({ targetSpec: '@grüße' })],
  ['somebody, not volatile by its own word', usual({ volatile: false })],
  ['members among others', usual({ members: 1 })],
  ['nobody', usual({ to: '' })],
  ['keys that are not base64url', usual({ to: 'ab+/' })],
  ['too many', usual({ to: 'A'.repeat(200_000) })],
  ['wraps beyond all bounds', usual({ wraps: 'A'.repeat(600_000) })],
  ['a priority of its own', usual({ priority: 'urgent' })],
])('a frame to %s means what a parser says it means', (_, json) => {
  const bytes = Buffer.from(JSON.stringify(json))
  expect(scanned(bytes)).toEqual(plainly(bytes))
})

test.each([
  ['to several addresses', frame],
  ['to one', usual],
])('no mutation of a frame %s is read differently by the scanner than by the parser', (_, made) => {
  const pieces = [
    '"',
    '\\',
    '\\"',
    ',',
    '}',
    '{',
    ':',
    ' ',
    '"ciphertext":"',
    ',"ciphertext":"AAAA"',
    '"to":"AAAA",',
    '\\u0022',
    'é',
    '\u0000',
    '+',
    '=',
    '"type":"bye",',
    ',"volatile":true',
    ',"wraps":"AAAA"',
  ]
  const edit = fc.record({ at: fc.nat(900), cut: fc.nat(3), put: fc.constantFrom('', ...pieces) })
  fc.assert(
    fc.property(fc.array(edit, { minLength: 1, maxLength: 4 }), (edits) => {
      let text = JSON.stringify(made())
      for (const { at, cut, put } of edits) text = text.slice(0, at) + put + text.slice(at + cut)
      const bytes = Buffer.from(text)
      const fast = scanned(bytes)
      if (fast !== undefined) expect(fast).toEqual(plainly(bytes))
    }),
    { numRuns: 5000, seed: 20_260_406 },
  )
})

test.each([
  ['another type', { ...frame(), type: 'bye' }],
  ['the ciphertext not last', { ...frame(), after: 1 }],
  ['no ciphertext', { ...frame(), ciphertext: undefined }],
  ['a ciphertext in the other alphabet', { ...frame(), ciphertext: 'ab+/' }],
  ['padding', { ...frame(), ciphertext: 'YQ==' }],
])('a frame with %s is left to the parser', (_, json) => {
  expect(scanned(Buffer.from(JSON.stringify(json)))).toBeUndefined()
})

test('the id of a stored send is found in the form that clients give it, and in no other', () => {
  const json = frame()
  const idOf = (value: object) => storedSendId(Buffer.from(JSON.stringify(value)))
  expect(idOf(json)).toBe(json.id)
  expect(idOf({ ...json, priority: 'low', volatile: false })).toBe(json.id)
  expect(idOf({ ...json, ciphertext: 'not"looked":at' })).toBe(json.id)
  const { id, type, ...rest } = json
  const others = [
    { type, id, volatile: true, ...rest },
    { ...json, id: 'short' },
    { ...json, id: `${b64u(15)}"}` },
    { ...json, type: 'bye' },
    { id, type, ...rest },
  ]
  for (const other of others) expect(idOf(other)).toBeUndefined()
})
