// Stored records: who wrote them is signed inside, what and where they are is sealed.
import {
  issueRecord,
  openRecord,
  peekRecord,
  ready,
  sealRecord,
  stateId,
  verifyRecord,
  webRandom,
  type Purpose,
  type RecordOf,
  type RecordType,
} from '@claudemesh/crypto'
import { limits, times } from '@claudemesh/protocol'
import { beforeAll, describe, expect, test } from 'vitest'
import { signToken } from '../../packages/crypto/src/token.ts'
import { day, makeWorld, now, refuses, seed, type World } from './world.ts'

let w: World
beforeAll(async () => {
  await ready()
  w = makeWorld()
})

const key = seed(40)
type State = Omit<RecordOf<'state'>, 'k'>
const state = (o: Partial<State> = {}) => issueRecord('state', { mesh: w.mesh, session: w.alice, key: 'deploy_frozen', val: true, ver: 1, ts: now, ...o })
const verify = (token: string, type: RecordType = 'state', session = w.alice) => verifyRecord(token, type, { mesh: w.mesh, chain: w.chainOf(session) })
const sealed = (token: string, purpose: Purpose = 'state') => sealRecord({ mesh: w.mesh, purpose, epoch: 2, key, id: 'row', token, random: webRandom })
const openIt = (record = sealed('text'), purpose: Purpose = 'state', o: object = {}) => openRecord(record, { mesh: w.mesh, purpose, id: 'row', key, ...o })

describe('a sealed record', () => {
  test('gives its token back, for each purpose', () => {
    for (const purpose of ['state', 'memory', 'file'] as const) expect(openIt(sealed('text', purpose), purpose)).toBe('text')
  })

  test('is never the same twice, and its length tells only a rough size', () => {
    const [a, b] = [sealed('true'), sealed('{"a":"longer, but not by much"}')]
    expect(a.c).toHaveLength(b.c.length)
    expect(sealed('true').c).not.toBe(a.c)
    expect(a.e).toBe(2)
  })

  test('opens in its own place alone', () => {
    refuses('cannot_open', /./, () => openIt(sealed('text'), 'memory'))
    refuses('cannot_open', /./, () => openIt(sealed('text'), 'state', { id: 'other' }))
    refuses('cannot_open', /./, () => openIt(sealed('text'), 'state', { key: seed(41) }))
    refuses('cannot_open', /./, () => openIt(sealed('text'), 'state', { mesh: makeWorld(50).mesh }))
    refuses('cannot_open', /./, () => openIt({ ...sealed('text'), e: 3 }))
  })
})

describe('a signed record', () => {
  test('says who wrote what and when', () => {
    const token = state({ prev: w.alice.publicKey, val: { a: [1, null, 'x'] } })
    expect(peekRecord(token, 'state')).toEqual({ k: w.alice.publicKey, ts: now })
    expect(verify(token)).toEqual({ k: w.alice.publicKey, key: 'deploy_frozen', val: { a: [1, null, 'x'] }, ver: 1, prev: w.alice.publicKey, ts: now })
  })

  test('null is a value, a deletion has none', () => {
    expect(verify(state({ val: null }))).toMatchObject({ val: null })
    expect(verify(state({ val: undefined, deleted: true, ver: 2 }))).toEqual({ k: w.alice.publicKey, key: 'deploy_frozen', ver: 2, ts: now, deleted: true })
  })

  test('a value of the name __proto__ is a value', () => {
    const token = state({ val: JSON.parse('{"__proto__":{"admin":true}}') as unknown })
    expect(JSON.stringify((verify(token) as RecordOf<'state'>).val)).toBe('{"__proto__":{"admin":true}}')
    expect(({} as { admin?: boolean }).admin).toBeUndefined()
  })

  test('counts from its certificate’s beginning to its end, and a little beyond for clocks', () => {
    const [early, late] = [now - times.skew, now + day + times.skew]
    expect(() => [verify(state({ ts: early })), verify(state({ ts: late }))]).not.toThrow()
    refuses('bad_record', /before/, () => verify(state({ ts: early - 1 })))
    refuses('bad_record', /after/, () => verify(state({ ts: late + 1 })))
  })

  test('of somebody else is refused, whoever it names', () => {
    refuses('bad_record', /signature/, () => verify(issueRecord('state', { mesh: w.mesh, session: w.bob, key: 'k', val: 1, ver: 1, ts: now })))
    const posing = signToken('state', { m: w.mesh, k: w.bob.publicKey, key: 'k', val: 1, ver: 1, ts: now }, w.alice)
    refuses('bad_record', /names another session/, () => verify(posing))
  })

  test('of another type or mesh, or no token at all, is refused', () => {
    refuses('bad_record', /signature/, () => verify(state(), 'memory'))
    refuses('bad_record', /another mesh/, () => verify(issueRecord('state', { mesh: makeWorld(50).mesh, session: w.alice, key: 'k', val: 1, ver: 1, ts: now })))
    refuses('bad_record', /parts/, () => verify('hello'))
    refuses('bad_record', /parts/, () => peekRecord('hello', 'state'))
  })

  test('64 KiB of value and 16 KiB of memory fit, twice that does not', () => {
    const memory = (content: string) =>
      issueRecord('memory', { mesh: w.mesh, session: w.alice, id: 'm', content, tags: Array<string>(16).fill('t'.repeat(64)), ts: now })
    const longest = { key: 'ü'.repeat(limits.stateKeyChars), prev: w.alice.publicKey }
    expect(verify(state({ ...longest, val: 'x'.repeat(65_534) }))).toMatchObject({ ver: 1 })
    expect(verify(memory('"'.repeat(16_384)), 'memory')).toMatchObject({ id: 'm' })
    refuses('too_large', /state token is over 92160/, () => state({ val: 'x'.repeat(131_072) }))
    refuses('too_large', /memory token is over 65536/, () => memory('"'.repeat(32_768)))
    const file = { id: 'f', name: 'x'.repeat(8192), size: 1, mime: 'text/plain', tags: [], key: w.alice.publicKey, sha256: w.alice.publicKey, ts: now }
    refuses('too_large', /file token is over 8192/, () => issueRecord('file', { mesh: w.mesh, session: w.alice, ...file }))
  })

  test('a token over the limit of its type is refused before anything else', () =>
    refuses('bad_record', /over 92160/, () => verify('A'.repeat(limits.stateTokenChars + 1))))

  test('a value is at most 32 levels deep', () => {
    const deep = (levels: number) => JSON.parse('['.repeat(levels) + ']'.repeat(levels)) as unknown
    expect(() => verify(state({ val: deep(32) }))).not.toThrow()
    refuses('bad_record', /nested deeper/, () => verify(state({ val: deep(33) })))
  })
})

describe('the row of a state key', () => {
  test('is the same for every spelling of it, and another for another key or mesh', () => {
    expect(stateId(key, 'Gr\u00f6\u00dfe')).toBe(stateId(key, 'Gro\u0308\u00dfe'))
    expect(stateId(key, 'deploy')).toHaveLength(22)
    expect(new Set([stateId(key, 'a'), stateId(key, 'b'), stateId(seed(41), 'a')]).size).toBe(3)
  })
})
