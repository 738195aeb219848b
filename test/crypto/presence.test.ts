import { issuePresence, ready, verifyPresence } from '@claudemesh/crypto'
import { beforeAll, describe, expect, test } from 'vitest'
import { signToken } from '../../packages/crypto/src/token.ts'
import { makeWorld, now, refuses, type World } from './world.ts'

let w: World
beforeAll(async () => {
  await ready()
  w = makeWorld()
})

const issue = (o: object = {}) => issuePresence({ mesh: w.mesh, session: w.alice, seq: 3, ts: now, name: 'Alice', groups: [], ...o })
const verify = (token: string) => verifyPresence(token, { mesh: w.mesh, session: w.alice.publicKey })
/** Signed as it stands, past the checks of the issuer. */
const forge = (o: object) => signToken('presence', { m: w.mesh, k: w.alice.publicKey, seq: 3, ts: now, name: 'Alice', groups: [], ...o }, w.alice)

test('a presence says who, in which groups, doing what', () => {
  const token = issue({ role: 'dev', groups: [{ name: 'frontend', role: 'lead' }, { name: 'all' }], summary: 'auth UI' })
  expect(verify(token)).toEqual({
    session: w.alice.publicKey,
    seq: 3,
    ts: now,
    name: 'Alice',
    role: 'dev',
    groups: [{ name: 'frontend', role: 'lead' }, { name: 'all' }],
    summary: 'auth UI',
  })
})

test('names are issued and read in their one spelling', () => {
  expect(verify(issue({ name: ' Big  T ', groups: [{ name: '@FrontEnd' }] }))).toMatchObject({ name: 'Big T', groups: [{ name: 'frontend' }] })
  expect(verify(forge({ name: 'Big  T', groups: [{ name: 'FrontEnd' }] }))).toMatchObject({ name: 'Big T', groups: [{ name: 'frontend' }] })
})

test('the largest presence fits into a token', () => {
  const groups = Array.from({ length: 32 }, (_, i) => ({ name: `g${i}`.padEnd(64, 'x'), role: 'r'.repeat(64) }))
  expect(verify(issue({ groups, summary: 's'.repeat(280), role: 'r'.repeat(64) })).groups).toHaveLength(32)
})

describe('refused as bad_presence', () => {
  test('one signed by another session', () =>
    refuses('bad_presence', /signature/, () => verify(issuePresence({ mesh: w.mesh, session: w.bob, seq: 1, ts: now, name: 'Alice', groups: [] }))))
  test('one that names another session', () => refuses('bad_presence', /another session/, () => verify(forge({ k: w.bob.publicKey }))))
  test('one of another mesh', () => refuses('bad_presence', /another mesh/, () => verify(forge({ m: makeWorld(50).mesh }))))
  test('one that is not a token', () => refuses('bad_presence', /parts/, () => verify('x')))
  test.each([
    ['a reserved name', { name: 'system' }],
    ['a name with a control character', { name: 'a\u0007' }],
    ['a role with a bidi override', { role: '\u202elead' }],
    ['a role over 64 characters', { role: 'r'.repeat(65) }],
    ['a group that is no name', { groups: [{ name: 'a b' }] }],
    ['a group role with a tag character', { groups: [{ name: 'g', role: '\u{e0041}' }] }],
    ['a summary over 280 characters', { summary: 's'.repeat(281) }],
    ['a summary with an escape sequence', { summary: '\u001b[2J' }],
    ['a group twice', { groups: [{ name: 'g' }, { name: 'G', role: 'lead' }] }],
  ])('%s', (_what, fields) => refuses('bad_presence', /./, () => verify(forge(fields))))
})

test.each([
  ['name', { name: 'system' }],
  ['group', { groups: [{ name: 'a b' }] }],
  ['role', { role: '\u202elead' }],
  ['summary', { summary: 's'.repeat(281) }],
])('a bad %s is not issued', (_what, fields) => refuses('bad_name', /./, () => issue(fields)))
