import {
  formatInviteLink,
  inviteKey,
  issueInvite,
  issueMember,
  issuePolicy,
  issuePresence,
  issueSession,
  memberKey,
  meshIdOf,
  open,
  PairKeys,
  parseInviteLink,
  ready,
  ReplayWindows,
  rootKey,
  seal,
  SendCounters,
  sessionKey,
  signHello,
  toB64u,
  verifyChain,
  verifyHello,
  verifyPolicy,
  verifyPresence,
  webRandom,
} from '@claudemesh/crypto'
import type { ClientId } from '@claudemesh/protocol'
import { beforeAll, expect, it } from 'vitest'

beforeAll(ready)

it('takes a founder, an invite and a joiner to a message that only the recipients open', () => {
  const now = 1_700_000_000_000
  const root = rootKey(webRandom(32))
  const mesh = meshIdOf(root.publicKey)
  const admin = memberKey(webRandom(32))
  const adminCert = issueMember({ mesh, subject: admin, issuer: root, role: 'admin', name: 'Founder', iat: now })
  const seed = webRandom(16)
  const invite = inviteKey(root.publicKey, seed)
  const inviteCert = issueInvite({ mesh, invite: invite.publicKey, issuer: admin, role: 'member', max: 1, iat: now, exp: now + 1000, by: admin.publicKey })

  const link = parseInviteLink(`claudemesh join ${formatInviteLink('localhost:7717', root.publicKey, seed)}\n`)
  expect(link).toMatchObject({ host: 'localhost:7717', url: 'ws://localhost:7717/ws', httpUrl: 'http://localhost:7717', root: root.publicKey, mesh })
  expect(link.invite.publicKey).toBe(invite.publicKey)
  verifyChain([adminCert, inviteCert], { mesh, root: root.publicKey, now, ends: 'invite' })

  const joiner = memberKey(webRandom(32))
  const memberCert = issueMember({ mesh, subject: joiner, issuer: link.invite, role: 'member', name: 'Alice', iat: now, via: link.invite.publicKey })
  const alice = sessionKey(webRandom(32))
  const sessionCert = issueSession({ mesh, session: alice, member: joiner, iat: now })
  const chain = verifyChain([adminCert, inviteCert, memberCert, sessionCert], { mesh, root: root.publicKey, now, ends: 'session' })
  expect(chain.member.name).toBe('Alice')
  expect(chain.session.key).toBe(alice.publicKey)

  const presence = issuePresence({ mesh, session: alice, seq: 1, ts: now, name: 'Alice', groups: [{ name: '@Frontend', role: 'lead' }] })
  expect(verifyPresence(presence, { mesh, session: alice.publicKey }).groups).toEqual([{ name: 'frontend', role: 'lead' }])

  const allow = { plaintext: false, legacyBox: false, memory: 'sealed', state: 'sealed', files: 'sealed' } as const
  const revoked = { members: [], invites: [], sessions: [] }
  const first = issuePolicy({ mesh, issuer: root, v: 1, iat: now, revoked, allow, brokers: [] })
  const second = issuePolicy({ mesh, issuer: admin, cert: adminCert, v: 2, prev: first, iat: now, revoked, allow, brokers: [] })
  expect(verifyPolicy(second, { mesh, root: root.publicKey, prev: first }).by).toBe(admin.publicKey)

  const greeting = { mesh, aud: 'ws://127.0.0.1:1', nonce: toB64u(webRandom(32)), clientNonce: toB64u(webRandom(16)), timestamp: now }
  const hello = signHello({ ...greeting, member: joiner, session: alice })
  verifyHello({ ...greeting, member: joiner.publicKey, session: alice.publicKey, ...hello })

  const others = [sessionKey(webRandom(32)), sessionKey(webRandom(32)), sessionKey(webRandom(32))] as const
  const id = toB64u(webRandom(16)) as ClientId
  const from = { keys: new PairKeys(alice), counters: new SendCounters(), mesh, sender: alice.publicKey, random: webRandom }
  const outer = { id, meshId: mesh, senderPubkey: alice.publicKey, priority: 'next' as const }
  const as = (me: (typeof others)[number]) => ({ keys: new PairKeys(me), me: me.publicKey, mesh, sender: chain, now, windows: new ReplayWindows() })
  const message = { to: 'Bob', id, ts: now, p: 'next' as const, b: 'hi 🙂' }

  const single = seal({ ...from, recipients: [others[0].publicKey], message })
  const opened = open({ ...outer, nonce: single.nonce, ciphertext: single.ciphertext }, as(others[0]))
  expect(opened).toEqual({ verified: true, inner: message, counter: 0 })

  const many = seal({ ...from, recipients: [others[0].publicKey, others[1].publicKey], message })
  const more = many.topUp([others[2].publicKey])
  const wraps = [many.wraps?.slice(0, 0), toB64u(Buffer.from(many.wraps ?? '', 'base64url').subarray(88)), more.wraps]
  for (const i of [1, 2] as const)
    expect(open({ ...outer, nonce: many.nonce, ciphertext: many.ciphertext, wrap: wraps[i] }, as(others[i])).inner).toEqual(message)
})
