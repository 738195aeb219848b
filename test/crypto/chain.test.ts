import { issueInvite, issueMember, issueSession, memberIdOf, ready, TokenCache, verifyChain, type ChainEnd, type ChainOptions } from '@claudemesh/crypto'
import { beforeAll, describe, expect, test } from 'vitest'
import { signToken } from '../../packages/crypto/src/token.ts'
import { day, hour, makeWorld, now, refuses, type World } from './world.ts'

let w: World
let other: World
beforeAll(async () => {
  await ready()
  w = makeWorld()
  other = makeWorld(50)
})

const verify = <E extends ChainEnd = 'session'>(tokens: string[], o: Partial<ChainOptions<E>> = {}) =>
  verifyChain(tokens, { ...w.trust, ends: 'session' as E, ...o })
const full = () => [w.adminCert, w.inviteCert, w.memberCert, w.sessionCert]
const memberBy = (o: Partial<Parameters<typeof issueMember>[0]> = {}) =>
  issueMember({ mesh: w.mesh, subject: w.joiner, issuer: w.invite, role: 'member', name: 'Alice', iat: now, via: w.invite.publicKey, ...o })
const inviteBy = (o: Partial<Parameters<typeof issueInvite>[0]> = {}) =>
  issueInvite({ mesh: w.mesh, invite: w.invite.publicKey, issuer: w.admin, role: 'member', max: 1, iat: now, exp: now + day, ...o })
const sessionBy = (o: Partial<Parameters<typeof issueSession>[0]> = {}) => issueSession({ mesh: w.mesh, session: w.alice, member: w.joiner, iat: now, ...o })

describe('accepted', () => {
  test('admin, invite, member, session', () => {
    expect(verify(full())).toEqual({
      admin: { key: w.admin.publicKey, name: 'Founder' },
      invite: { key: w.invite.publicKey, role: 'member', max: 1, iat: now, exp: now + day, by: w.admin.publicKey },
      member: { key: w.joiner.publicKey, id: memberIdOf(w.mesh, w.joiner.publicKey), role: 'member', name: 'Alice', iat: now, via: w.invite.publicKey },
      session: { key: w.alice.publicKey, iat: now, exp: now + day, caps: ['wrap1'] },
    })
  })

  test('a root-signed member and its session', () => {
    const chain = verify([w.adminCert, sessionBy({ member: w.admin })])
    expect(chain).toMatchObject({ member: { name: 'Founder', role: 'admin' }, session: { key: w.alice.publicKey } })
    expect(chain.admin ?? chain.invite).toBeUndefined()
  })

  test('a root-signed invite of an admin', () => {
    const chain = verify([inviteBy({ issuer: w.root, role: 'admin' }), memberBy({ role: 'admin' }), w.sessionCert])
    expect(chain).toMatchObject({ invite: { role: 'admin' }, member: { role: 'admin' } })
    expect(chain.admin).toBeUndefined()
  })

  test.each([
    ['member', () => [w.adminCert]],
    ['member', () => [inviteBy({ issuer: w.root }), w.memberCert]],
    ['member', () => [w.adminCert, w.inviteCert, w.memberCert]],
    ['invite', () => [inviteBy({ issuer: w.root })]],
    ['invite', () => [w.adminCert, w.inviteCert]],
  ] as [ChainEnd, () => string[]][])('a chain that ends in a %s', (ends, tokens) => expect(verify(tokens(), { ends })).toHaveProperty(ends))

  test('with a cache, again and again', () => {
    const cache = new TokenCache()
    const chains = [1, 2].map(() => verify(full(), { cache }))
    expect(chains[1]).toEqual(chains[0])
    expect(cache.size).toBe(4)
  })

  test('at both edges of the clocks’ tolerance and of the invite’s window', () => {
    const skew = 5 * 60_000
    expect(() => verify(full(), { now: now - skew })).not.toThrow()
    expect(() => verify(full(), { now: now + day + skew })).not.toThrow()
    expect(() => verify(full(), { now: now + 2 * day, grace: day - skew })).not.toThrow()
    for (const iat of [now - skew, now + day]) expect(() => verify([w.adminCert, w.inviteCert, memberBy({ iat }), w.sessionCert])).not.toThrow()
    expect(() => verify([w.adminCert, w.inviteCert, w.memberCert, sessionBy({ exp: now + 7 * day })])).not.toThrow()
    expect(() => verify([w.adminCert, w.inviteCert], { ends: 'invite', now: now + day })).not.toThrow()
  })

  test('a member stays valid when its invite has expired since', () =>
    expect(() => verify([w.adminCert, w.inviteCert, w.memberCert], { ends: 'member', now: now + 9 * day })).not.toThrow())
})

describe('refused', () => {
  test('a root that is not the mesh’s', () => refuses('bad_chain', /root key/, () => verify(full(), { root: other.root.publicKey })))

  test.each([
    ['session', []],
    ['session', ['adminCert']],
    ['session', ['adminCert', 'adminCert', 'inviteCert', 'memberCert', 'sessionCert']],
    ['member', []],
    ['member', ['adminCert', 'inviteCert', 'memberCert', 'sessionCert']],
    ['invite', ['adminCert', 'inviteCert', 'memberCert']],
  ] as [ChainEnd, (keyof World & `${string}Cert`)[]][])('to a %s: %j', (ends, names) =>
    refuses('bad_chain', /do not form a chain/, () =>
      verify(
        names.map((name) => w[name]),
        { ends },
      ),
    ),
  )

  test.each([
    ['the certificates in another order', () => [w.inviteCert, w.adminCert, w.memberCert, w.sessionCert]],
    ['a member certificate twice', () => [w.adminCert, w.adminCert, w.sessionCert]],
    ['an invite signed by a mere stranger', () => [w.adminCert, inviteBy({ issuer: other.admin }), w.memberCert, w.sessionCert]],
    ['a member signed by its admin directly', () => [w.adminCert, w.inviteCert, memberBy({ issuer: w.admin as never }), w.sessionCert]],
    ['a member who signed itself', () => [w.adminCert, w.inviteCert, memberBy({ issuer: w.joiner as never }), w.sessionCert]],
    ['a session signed by another member', () => [w.adminCert, w.inviteCert, w.memberCert, sessionBy({ member: w.admin })]],
    ['the chain of another mesh', () => [other.adminCert, other.inviteCert, other.memberCert, other.sessionCert]],
    ['a session of another mesh', () => [w.adminCert, w.inviteCert, w.memberCert, sessionBy({ mesh: other.mesh })]],
    ['a damaged certificate', () => [w.adminCert, `${w.inviteCert.slice(0, -2)}AA`, w.memberCert, w.sessionCert]],
  ])('%s', (_what, tokens) => refuses('bad_token', /./, () => verify(tokens())))

  test('a root-signed member that names an invite', () => {
    const cert = memberBy({ issuer: w.root, subject: w.joiner })
    refuses('bad_chain', /root names an invite/, () => verify([cert, w.sessionCert]))
  })
  test('an invite by somebody who is not an admin', () => {
    const plain = issueMember({ mesh: w.mesh, subject: w.admin, issuer: w.root, role: 'member', name: 'Plain', iat: now })
    refuses('bad_chain', /not an admin/, () => verify([plain, w.inviteCert, w.memberCert, w.sessionCert]))
  })
  test('an admin who invites an admin', () =>
    refuses('bad_chain', /only the root/, () => verify([w.adminCert, inviteBy({ role: 'admin' }), memberBy({ role: 'admin' }), w.sessionCert])))
  test('a member that names another invite', () =>
    refuses('bad_chain', /another invite/, () => verify([w.adminCert, w.inviteCert, memberBy({ via: other.invite.publicKey }), w.sessionCert])))
  test('a member that names no invite', () =>
    refuses('bad_chain', /another invite/, () => verify([w.adminCert, w.inviteCert, memberBy({ via: undefined }), w.sessionCert])))
  test('a member that gives itself another role', () =>
    refuses('bad_chain', /another role/, () => verify([w.adminCert, w.inviteCert, memberBy({ role: 'admin' }), w.sessionCert])))
  test('a member older than its invite', () =>
    refuses('bad_chain', /older than its invite/, () => verify([w.adminCert, w.inviteCert, memberBy({ iat: now - 300_001 }), w.sessionCert])))
  test('a member made after the invite expired', () =>
    refuses('invite_expired', /after its invite expired/, () => verify([w.adminCert, w.inviteCert, memberBy({ iat: now + day + 1 }), w.sessionCert])))
  test('an expired invite, to who wants to join', () =>
    refuses('invite_expired', /has expired/, () => verify([w.adminCert, w.inviteCert], { ends: 'invite', now: now + day + 1 })))
  test('a member whose name breaks the rules', () => {
    const payload = { m: w.mesh, k: w.joiner.publicKey, via: w.invite.publicKey, role: 'member', name: 'a\u202eb', iat: now }
    const cert = signToken('member', payload, w.invite, w.joiner)
    refuses('bad_chain', /name is refused/, () => verify([w.adminCert, w.inviteCert, cert, w.sessionCert]))
  })
  test('a session longer than seven days', () =>
    refuses('bad_chain', /longer than seven days/, () => verify([w.adminCert, w.inviteCert, w.memberCert, sessionBy({ exp: now + 7 * day + 1 })])))
  test('a session from the future', () => refuses('bad_chain', /not valid yet/, () => verify(full(), { now: now - 300_001 })))
  test('a session that has ended', () => refuses('bad_chain', /has expired/, () => verify(full(), { now: now + day + 300_001 })))
  test('a session that ended before the grace for queued messages', () =>
    refuses('bad_chain', /has expired/, () => verify(full(), { now: now + day + 300_001 + hour, grace: hour })))
  test('an ended session, also when its certificate is cached', () => {
    const cache = new TokenCache()
    verify(full(), { cache })
    refuses('bad_chain', /has expired/, () => verify(full(), { cache, now: now + 2 * day }))
  })
})

test('a bad name is not certified', () => refuses('bad_name', /reserved/, () => memberBy({ name: 'system' })))

describe('revoked', () => {
  const none = { members: [], invites: [], sessions: [] }
  const revoking = (o: object) => () => verify(full(), { revoked: { ...none, ...o } })

  test('nobody', () => expect(revoking({})).not.toThrow())
  test('the admin who invited', () => refuses('revoked', /admin/, revoking({ members: [w.admin.publicKey] })))
  test('the invite', () => refuses('revoked', /invite is revoked/, revoking({ invites: [w.invite.publicKey] })))
  test('the invite, to who wants to join', () =>
    refuses('revoked', /invite is revoked/, () => verify([w.adminCert, w.inviteCert], { ends: 'invite', revoked: { ...none, invites: [w.invite.publicKey] } })))
  test('the member', () => refuses('revoked', /member is revoked/, revoking({ members: [w.joiner.publicKey] })))
  test('the session', () => refuses('revoked', /session is revoked/, revoking({ sessions: [w.alice.publicKey] })))
  test('not a member who is kept although the invite is revoked', () =>
    expect(revoking({ invites: [w.invite.publicKey], kept: [w.joiner.publicKey] })).not.toThrow())
  test('a member who is kept, but revoked too', () =>
    refuses('revoked', /member is revoked/, revoking({ invites: [w.invite.publicKey], kept: [w.joiner.publicKey], members: [w.joiner.publicKey] })))
  test('the invite, whoever else is kept', () =>
    refuses('revoked', /invite is revoked/, revoking({ invites: [w.invite.publicKey], kept: [w.admin.publicKey] })))
})
