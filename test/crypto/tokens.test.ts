import { fromB64u, issuePresence, ready, toB64u, tokenHash, TokenCache } from '@claudemesh/crypto'
import { beforeAll, describe, expect, test } from 'vitest'
import { payloads, type TokenType } from '../../packages/crypto/src/payloads.ts'
import { concat, hash, sign } from '../../packages/crypto/src/sodium.ts'
import { signToken, verifyToken } from '../../packages/crypto/src/token.ts'
import { makeWorld, now, refuses, seed, type World } from './world.ts'

let w: World
beforeAll(async () => {
  await ready()
  w = makeWorld()
})

const parts = (token: string) => token.split('.') as [string, string, string]
const flip = (part: string) => {
  const bytes = fromB64u(part)
  bytes[0]! ^= 1
  return toB64u(bytes)
}
const cut = (part: string) => toB64u(fromB64u(part).subarray(0, 63))
const verifyMember = (token: string, issuer = w.root.publicKey as string, mesh = w.mesh) => verifyToken(token, 'member', mesh, issuer)
const signMember = (payload: object) =>
  signToken('member', { m: w.mesh, k: w.admin.publicKey, role: 'admin', name: 'Founder', iat: now, ...payload }, w.root, w.admin)

test('a token gives back what was signed', () => {
  expect(verifyMember(w.adminCert)).toEqual({ t: 'member', m: w.mesh, k: w.admin.publicKey, role: 'admin', name: 'Founder', iat: now })
})

test('unknown extra fields are ignored', () => expect(verifyMember(signMember({ epoch: 3, mk: 'x', back: {} })).role).toBe('admin'))

test('what is verified is the bytes as received: their layout and order are free', () => {
  const layout = ` {"k":"${w.admin.publicKey}", "name":"Founder","iat":${now},\n"m":"${w.mesh}","role":"admin","t":"member"}`
  expect(verifyMember(signBytes(new TextEncoder().encode(layout))).k).toBe(w.admin.publicKey)
})

describe('refused as bad_token', () => {
  test.each([
    ['a changed payload', (t: string) => [flip(parts(t)[0]), ...parts(t).slice(1)].join('.'), /signature/],
    ['a changed signature', (t: string) => [parts(t)[0], flip(parts(t)[1]), parts(t)[2]].join('.'), /signature/],
    ['a changed proof', (t: string) => [...parts(t).slice(0, 2), flip(parts(t)[2])].join('.'), /possession/],
    ['no proof', (t: string) => parts(t).slice(0, 2).join('.'), /number of parts/],
    ['a part too many', (t: string) => `${t}.AA`, /number of parts/],
    ['nothing', () => '', /number of parts/],
    ['padding', (t: string) => `${t}=`, /canonical/],
    ['a short signature', (t: string) => [parts(t)[0], cut(parts(t)[1]), parts(t)[2]].join('.'), /signature/],
    ['a short proof', (t: string) => [...parts(t).slice(0, 2), cut(parts(t)[2])].join('.'), /possession/],
    ['over 8192 characters', (t: string) => t + 'A'.repeat(8192), /over 8192/],
  ])('%s', (_what, change, says) => refuses('bad_token', says, () => verifyMember(change(w.adminCert))))

  test('another issuer', () => refuses('bad_token', /signature/, () => verifyMember(w.adminCert, w.admin.publicKey)))
  test('another type under the same key', () =>
    refuses('bad_token', /signature/, () => verifyToken(parts(w.adminCert).slice(0, 2).join('.'), 'invite', w.mesh, w.root.publicKey)))
  test('a type inside that differs from the one signed for', () => refuses('bad_token', /t: /, () => verifyMember(signMember({ t: 'invite' }))))
  test('another mesh', () => refuses('bad_token', /another mesh/, () => verifyMember(w.adminCert, w.root.publicKey, makeWorld(50).mesh)))
  test('a proof by another key', () => {
    const stolen = signToken('member', { m: w.mesh, k: w.admin.publicKey, role: 'admin', name: 'Founder', iat: now }, w.root, w.joiner)
    refuses('bad_token', /possession/, () => verifyMember(stolen))
  })
  test('a proof from another certificate of the same key', () => {
    const other = signMember({ name: 'Another' })
    refuses('bad_token', /possession/, () => verifyMember([...parts(w.adminCert).slice(0, 2), parts(other)[2]].join('.')))
  })
  test.each([
    ['a payload that is not JSON', new TextEncoder().encode('{'), /not JSON/],
    ['a payload that is not UTF-8', Uint8Array.of(0x22, 0xff, 0x22), /not JSON/],
    ['a payload behind a byte order mark', new TextEncoder().encode('\ufeff{}'), /not JSON/],
    ['a payload that is null', new TextEncoder().encode('null'), /payload/],
    ['a payload that is a list', new TextEncoder().encode('[]'), /payload/],
  ])('%s', (_what, bytes, says) => refuses('bad_token', says, () => verifyMember(signBytes(bytes))))
})

/** A member token over bytes of our choice. */
function signBytes(bytes: Uint8Array): string {
  const signed = concat('cm1:member\0', bytes)
  return [bytes, sign(w.root.secretKey, signed), sign(w.admin.secretKey, 'cm1:pop\0', hash(32, signed))].map(toB64u).join('.')
}

test('a token of exactly 8192 characters is made and read', () => {
  const filler = 6013 - fromB64u(parts(signMember({ extra: '' }))[0]).length
  const token = signMember({ extra: 'x'.repeat(filler) })
  expect(token).toHaveLength(8192)
  expect(verifyMember(token).name).toBe('Founder')
  refuses('too_large', /over 8192/, () => signMember({ extra: 'x'.repeat(filler + 1) }))
})

test('a token that would be over 8192 characters is not made', () => refuses('too_large', /over 8192/, () => signMember({ extra: 'x'.repeat(6000) })))

describe('every field of every payload is checked', () => {
  const key = () => w.admin.publicKey
  const allow = { plaintext: false, legacyBox: false, memory: 'sealed', state: 'plain', files: 'sealed' }
  const back = { n: 'A'.repeat(32), c: 'A'.repeat(64), h: 'A'.repeat(43) }
  const good: Record<TokenType, () => Record<string, unknown>> = {
    member: () => ({ t: 'member', m: w.mesh, k: key(), via: key(), role: 'member', name: 'A', iat: now }),
    invite: () => ({ t: 'invite', m: w.mesh, k: key(), role: 'member', max: 1, iat: now, exp: now, by: key() }),
    session: () => ({ t: 'session', m: w.mesh, k: key(), iat: now, exp: now, caps: ['wrap1'] }),
    presence: () => ({ t: 'presence', m: w.mesh, k: key(), seq: 0, ts: now, name: 'A', role: 'dev', groups: [{ name: 'g', role: 'lead' }], summary: 's' }),
    http: () => ({ t: 'http', m: w.mesh, k: key(), aud: 'ws://a', mth: 'GET', path: '/', size: 0, ts: now, n: 'AAAAAAAAAAAAAAAAAAAAAA' }),
    policy: () => ({
      t: 'policy',
      m: w.mesh,
      v: 1,
      prev: key(),
      iat: now,
      epoch: 3,
      mk: key(),
      back,
      revoked: { members: [key()], invites: [key()], sessions: [key()], kept: [key()] },
      allow,
      brokers: ['wss://a'],
      cert: 'x',
    }),
    state: () => ({ t: 'state', m: w.mesh, k: key(), key: 'a', val: 1, ver: 1, prev: key(), ts: now }),
    memory: () => ({ t: 'memory', m: w.mesh, k: key(), id: 'i', content: 'c', tags: ['t'], ts: now, forgotten: true }),
    file: () => ({ t: 'file', m: w.mesh, k: key(), id: 'i', name: 'n', size: 0, mime: 'm', tags: ['t'], key: key(), sha256: key(), ts: now }),
  }
  const types = Object.keys(payloads) as TokenType[]
  const optional = new Set([
    'member.via',
    'invite.by',
    'session.caps',
    'presence.role',
    'presence.summary',
    'policy.prev',
    'policy.cert',
    'state.prev',
    'memory.forgotten',
  ])
  const make = (type: TokenType, change: object) =>
    signToken(type, { ...good[type](), ...change }, w.root, type === 'member' || type === 'session' ? w.admin : undefined)
  const check = (type: TokenType, change: object) => verifyToken(make(type, change), type, w.mesh, w.root.publicKey)

  test.each(types)('%s: the good one passes', (type) => expect(check(type, {})).toMatchObject(good[type]()))

  test.each(types)('%s: no field may have another form', (type) => {
    for (const field of Object.keys(good[type]()).filter((name) => name !== 'val')) {
      const numeric = typeof good[type]()[field] === 'number'
      for (const wrong of [null, field !== 'forgotten', {}, [7], ...(numeric ? ['1', 1.5, -1, 2 ** 53] : [7])])
        refuses('bad_token', new RegExp(field), () => check(type, { [field]: wrong }))
      if (!optional.has(`${type}.${field}`)) refuses('bad_token', new RegExp(field), () => check(type, { [field]: undefined }))
      else expect(() => check(type, { [field]: undefined })).not.toThrow()
    }
  })

  test.each([
    ['member', { role: 'root' }],
    ['member', { k: 'short' }],
    ['invite', { role: 'root' }],
    ['invite', { max: 0 }],
    ['policy', { v: 0 }],
    ['policy', { epoch: 0 }],
    ['policy', { epoch: 0, back: undefined }],
    ['policy', { epoch: undefined }],
    ['policy', { epoch: undefined, back: undefined }],
    ['policy', { mk: undefined }],
    ['policy', { back: undefined }],
    ['policy', { epoch: 1 }],
    ['policy', { epoch: 2 }],
    ['policy', { epoch: undefined, mk: undefined }],
    ['policy', { back: { ...back, h: undefined } }],
    ['policy', { back: { ...back, h: 'x' } }],
    ['policy', { back: { ...back, n: 'x' } }],
    ['policy', { back: { ...back, n: undefined } }],
    ['policy', { back: { ...back, c: 'x' } }],
    ['policy', { back: { ...back, c: undefined } }],
    ['policy', { revoked: { members: [], invites: [] } }],
    ['policy', { revoked: { members: [], sessions: [] } }],
    ['policy', { revoked: { invites: [], sessions: [] } }],
    ['policy', { revoked: { members: ['x'], invites: [], sessions: [] } }],
    ['policy', { revoked: { members: [], invites: ['x'], sessions: [] } }],
    ['policy', { revoked: { members: [], invites: [], sessions: ['x'] } }],
    ['policy', { revoked: { members: [], invites: [], sessions: [], kept: ['x'] } }],
    ...['plaintext', 'legacyBox', 'memory', 'state', 'files'].flatMap((field) => [['policy', { allow: { ...allow, [field]: 'blind' } }] as const]),
    ['presence', { groups: [{ role: 'lead' }] }],
    ['http', { aud: 7 }],
    ['http', { mth: 'DELETE' }],
    ['http', { path: 7 }],
    ['http', { size: -1 }],
    ['http', { size: 0.5 }],
    ['http', { ts: -1 }],
    ['http', { n: 'A' }],
    ['http', { n: 'A'.repeat(23) }],
    ['state', { name: 7 }],
    ['state', { val: undefined }],
    ['state', { deleted: true }],
    ['state', { deleted: false }],
    ['state', { val: undefined, deleted: false }],
    ['state', { val: undefined, deleted: 'yes' }],
    ['state', { ver: 0 }],
    ['state', { key: '' }],
    ['state', { key: 'k'.repeat(129) }],
    ['memory', { forgotten: false }],
    ['memory', { id: '' }],
    ['memory', { id: 'i'.repeat(65) }],
    ['memory', { tags: Array<string>(17).fill('t') }],
    ['file', { key: 'short' }],
    ['file', { sha256: 'short' }],
    ['presence', { groups: [{ name: 7 }] }],
    ['presence', { groups: [{ name: 'g', role: 7 }] }],
    ['presence', { groups: Array.from({ length: 33 }, (_, i) => ({ name: `g${i}` })) }],
  ] as [TokenType, object][])('%s %j is refused', (type, change) => refuses('bad_token', /./, () => check(type, change)))

  test('a key has one spelling: set bits after its end are refused', () => {
    const twin = `${key().slice(0, -1)}${String.fromCharCode(key().charCodeAt(42) + 1)}`
    expect(Buffer.from(twin, 'base64url')).toEqual(Buffer.from(key(), 'base64url'))
    refuses('bad_token', /by/, () => check('invite', { by: twin }))
  })
})

describe('token cache', () => {
  const verify = (cache: TokenCache, token = w.adminCert, type: 'member' | 'presence' = 'member', mesh = w.mesh, issuer: string = w.root.publicKey) =>
    cache.verify(token, type, mesh, issuer)

  test('gives the same payload again', () => {
    const cache = new TokenCache()
    expect(verify(cache)).toBe(verify(cache))
    expect(cache.size).toBe(1)
  })

  test('does not remember a refusal', () => {
    const cache = new TokenCache()
    refuses('bad_token', /./, () => verify(cache, `${w.adminCert.slice(0, -4)}AAAA`))
    expect(cache.size).toBe(0)
  })

  test('what verified under one issuer, type or mesh is not believed under another', () => {
    const cache = new TokenCache()
    verify(cache)
    refuses('bad_token', /signature/, () => verify(cache, w.adminCert, 'member', w.mesh, w.joiner.publicKey))
    refuses('bad_token', /parts/, () => verify(cache, w.adminCert, 'presence'))
    refuses('bad_token', /another mesh/, () => verify(cache, w.adminCert, 'member', makeWorld(50).mesh))
  })

  test('forgets the least recently used', () => {
    const cache = new TokenCache(2)
    const tokens = [1, 2, 3].map((seq) => issuePresence({ mesh: w.mesh, session: w.alice, seq, ts: now, name: 'A', groups: [] })) as [string, string, string]
    const look = (i: 0 | 1 | 2) => verify(cache, tokens[i], 'presence', w.mesh, w.alice.publicKey)
    const first = look(0)
    const second = look(1)
    expect(look(0)).toBe(first)
    look(2)
    expect(cache.size).toBe(2)
    expect(look(0)).toBe(first)
    expect(look(1)).not.toBe(second)
  })
})

test('a token hash is 32 bytes and changes with the token', () => {
  expect(fromB64u(tokenHash(w.adminCert), 32)).toHaveLength(32)
  expect(tokenHash(w.adminCert)).not.toBe(tokenHash(w.memberCert))
  expect(seed(1)).toHaveLength(32)
})
