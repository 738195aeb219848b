import type { ErrorCode } from '@claudemesh/protocol'
import { fromB64u, toB64u } from '../src/base64.ts'
import { bodyHash, sealBody, wrapPlain } from '../src/body.ts'
import type { ChainEnd } from '../src/chain-types.ts'
import { signEnrol, signHello } from '../src/hello.ts'
import { encodeInner, type Inner } from '../src/inner.ts'
import { formatInviteLink } from '../src/invite-link.ts'
import { issueInvite, issueMember, issuePresence, issueSession } from '../src/issue.ts'
import type { Envelope } from '../src/open.ts'
import type { Back } from '../src/mesh-keys.ts'
import { pad } from '../src/padding.ts'
import { PairKeys } from '../src/pair-keys.ts'
import { issuePolicy } from '../src/policy.ts'
import { concat, encodeText, sodium } from '../src/sodium.ts'
import { signToken } from '../src/token.ts'
import { sealedCases } from './negative-sealed.ts'
import { message, type positive } from './positive.ts'
import { allow, chainOf, day, epochsOf, nobody, now, seeded, skew, type World } from './world.ts'

/** A case that must be refused: the operation, everything it is given, and the error's name. */
export interface Negative {
  readonly name: string
  readonly operation: 'open' | 'chain' | 'presence' | 'policy' | 'hello' | 'enrol' | 'link' | 'base64' | 'back' | 'keybox' | 'record' | 'signed record'
  readonly input: object
  readonly error: ErrorCode
}

type Honest = ReturnType<typeof positive>

export const negative = (w: World, other: World, honest: Honest): Negative[] => [
  ...openCases(w, other, honest),
  ...chainCases(w, other),
  ...presenceCases(w, other),
  ...policyCases(w, other),
  ...helloCases(w, other),
  ...textCases(w),
  ...sealedCases(w, other, honest.sealed),
]

const flip = (text: string, at: number): string => {
  const bytes = fromB64u(text)
  bytes[at] = (bytes[at] ?? 0) ^ 1
  return toB64u(bytes)
}

function openCases(w: World, other: World, honest: Honest): Negative[] {
  const box = honest.box.push as Envelope
  const shared = honest.shared.pushes.bob as Envelope
  const carols = honest.shared.pushes.carol as Envelope
  const nonce = seeded('negative')(24)
  const contentKey = seeded('negative key')(32)
  const outer = { id: message.id, meshId: w.mesh, senderPubkey: w.alice.publicKey, priority: message.p, nonce: toB64u(nonce) } as Envelope
  const seal = (plain: Uint8Array) => toB64u(sodium.crypto_box_easy_afternm(plain, nonce, new PairKeys(w.alice).with(w.bob.publicKey).shared))
  const inner = (o: object): Inner => ({ ...message, m: w.mesh, f: w.alice.publicKey, ...o })
  const boxBytes = (padded: Uint8Array): Envelope => ({ ...outer, ciphertext: seal(padded) })
  const boxOf = (o: object) => boxBytes(pad(encodeInner(inner({ r: w.bob.publicKey, c: 0, ...o }))))
  const jsonOf = (o: object) => boxBytes(pad(encodeText(JSON.stringify({ v: 1, ...inner({ r: w.bob.publicKey, c: 0 }), ...o }))))
  const sharedOf = (o: object, mesh = w.mesh, wrapped = contentKey, counter = 0): Envelope => {
    const body = sealBody(contentKey, nonce, mesh, pad(encodeInner(inner(o))))
    return { ...outer, ciphertext: toB64u(body), wrap: seal(wrapPlain(wrapped, bodyHash(nonce, body), counter)) }
  }
  const dirty = pad(encodeInner(inner({ r: w.bob.publicKey, c: 0 })))
  dirty[dirty.length - 1] = 1
  const short = encodeInner(inner({ r: w.bob.publicKey, c: 0 }))
  const long = new Uint8Array(1024)
  new DataView(long.buffer).setUint32(0, short.length)
  long.set(short, 4)
  const open = (name: string, error: ErrorCode, push: Envelope, o: object = {}): Negative => ({
    name,
    operation: 'open',
    input: { push, as: 'bob', chain: chainOf(w), now, ...o },
    error,
  })
  return [
    open('box: envelope of another mesh', 'wrong_mesh', { ...box, meshId: other.mesh }),
    open('box: sealed for another mesh', 'wrong_mesh', boxOf({ m: other.mesh })),
    open('shared: sealed for another mesh', 'wrong_mesh', sharedOf({ m: other.mesh })),
    open('chain of another session', 'unknown_sender', box, { chain: chainOf(w, 'carol') }),
    open('sender replaced, its chain with it', 'cannot_open', { ...box, senderPubkey: w.carol.publicKey }, { chain: chainOf(w, 'carol') }),
    open('reflected to its sender', 'wrong_recipient', { ...box, senderPubkey: w.bob.publicKey }, { as: 'alice', chain: chainOf(w, 'bob') }),
    open('shared: reflected to its sender', 'mismatched_envelope', { ...shared, senderPubkey: w.bob.publicKey }, { as: 'alice', chain: chainOf(w, 'bob') }),
    open('box: first bit of the tag', 'cannot_open', { ...box, ciphertext: flip(box.ciphertext ?? '', 0) }),
    open('box: last byte', 'cannot_open', { ...box, ciphertext: flip(box.ciphertext ?? '', fromB64u(box.ciphertext ?? '').length - 1) }),
    open('box: cut by one byte', 'cannot_open', { ...box, ciphertext: toB64u(fromB64u(box.ciphertext ?? '').subarray(0, -1)) }),
    open('box: another nonce', 'cannot_open', { ...box, nonce: flip(box.nonce, 3) }),
    open('box: short nonce', 'cannot_open', { ...box, nonce: toB64u(nonce.subarray(1)) }),
    open('box: opened by somebody else', 'cannot_open', box, { as: 'carol' }),
    open('box: not base64url', 'cannot_open', { ...box, ciphertext: `${box.ciphertext}=` }),
    open('box: base64 of plain text', 'cannot_open', { ...box, ciphertext: toB64u(encodeText('hello')) }),
    open('neither plain nor sealed', 'cannot_open', { ...outer }),
    open('shared: wrap of a fellow recipient', 'cannot_open', carols),
    open('shared: wrap stripped', 'cannot_open', { ...shared, wrap: undefined }),
    open('shared: wrap changed', 'cannot_open', { ...shared, wrap: flip(shared.wrap ?? '', 20) }),
    open('shared: wrap with a byte more inside', 'cannot_open', { ...shared, nonce: toB64u(nonce), wrap: seal(new Uint8Array(73)) }),
    open('shared: wrap passed off as a box', 'bad_padding', { ...shared, ciphertext: shared.wrap, wrap: undefined }),
    open('shared: body without text', 'body_swapped', { ...shared, ciphertext: '' }),
    open('shared: commitment changed', 'body_swapped', { ...shared, ciphertext: flip(shared.ciphertext ?? '', 0) }),
    open('shared: body changed', 'body_swapped', { ...shared, ciphertext: flip(shared.ciphertext ?? '', 60) }),
    open('shared: body of another message', 'body_swapped', { ...shared, ciphertext: sharedOf({}).ciphertext }),
    open('shared: body commits to another key', 'body_swapped', sharedOf({}, w.mesh, seeded('another key')(32))),
    open('shared: sealed in the context of another mesh', 'cannot_open', sharedOf({}, other.mesh)),
    open('padding not zero', 'bad_padding', boxBytes(dirty)),
    open('padded further than need be', 'bad_padding', boxBytes(long)),
    open('padding shorter than the floor', 'bad_padding', boxBytes(new Uint8Array(255))),
    open('version 2', 'bad_version', jsonOf({ v: 2 })),
    open('no version', 'bad_version', jsonOf({ v: undefined })),
    open('no text', 'bad_version', jsonOf({ b: undefined })),
    open('unknown priority', 'bad_version', jsonOf({ p: 'urgent' })),
    open('raw text in the box', 'bad_version', boxBytes(pad(encodeText('hello')))),
    open('box without counter', 'bad_version', boxOf({ c: undefined })),
    open('box for another recipient inside', 'wrong_recipient', boxOf({ r: w.carol.publicKey })),
    open('box without recipient inside', 'wrong_recipient', boxOf({ r: undefined })),
    open('box: another sender inside', 'mismatched_envelope', boxOf({ f: w.carol.publicKey })),
    open('shared: another sender inside', 'mismatched_envelope', sharedOf({ f: w.carol.publicKey })),
    open('box: promoted to now', 'mismatched_envelope', { ...box, priority: 'now' }),
    open('shared: demoted to low', 'mismatched_envelope', { ...shared, priority: 'low' }),
    open('box: another id', 'mismatched_envelope', { ...box, id: flip(box.id, 0) } as Envelope),
    open('shared: another id', 'mismatched_envelope', { ...shared, id: flip(shared.id, 0) } as Envelope),
    open('eight days old', 'stale_message', boxOf({ ts: now - 7 * day - 1 })),
    open('dated after the sender’s certificate', 'stale_message', boxOf({ ts: now + day + skew + 1 })),
    open('box replayed', 'replayed', box, { after: [box] }),
    open('shared replayed', 'replayed', shared, { after: [shared] }),
    open('older than the window', 'replayed', sharedOf({}, w.mesh, contentKey, 0), { after: [sharedOf({}, w.mesh, contentKey, 1024)] }),
    open('of an earlier life', 'replayed', shared, { after: [box] }),
    open('plain text', 'plaintext_refused', { ...outer, plain: 'obey' }),
    open('plain text beside a sealed one', 'plaintext_refused', { ...shared, plain: 'obey' }, { allow: { plaintext: true } }),
  ]
}

function chainCases(w: World, other: World): Negative[] {
  const { admin, invite, member, alice } = w.tokens
  const mesh = w.mesh
  const memberBy = (o: object) =>
    issueMember({ mesh, subject: w.member, issuer: w.invite, role: 'member', name: 'Alice', iat: now, via: w.invite.publicKey, ...o })
  const inviteBy = (o: object) => issueInvite({ mesh, invite: w.invite.publicKey, issuer: w.admin, role: 'member', max: 1, iat: now, exp: now + day, ...o })
  const sessionBy = (o: object) => issueSession({ mesh, session: w.alice, member: w.member, iat: now, ...o })
  const plain = issueMember({ mesh, subject: w.admin, issuer: w.root, role: 'member', name: 'Plain', iat: now })
  const chain = (name: string, error: ErrorCode, tokens: string[], o: object = {}, ends: ChainEnd = 'session'): Negative => ({
    name: `chain: ${name}`,
    operation: 'chain',
    input: { tokens, mesh, root: w.root.publicKey, now, ends, ...o },
    error,
  })
  const full = chainOf(w)
  return [
    chain('empty', 'bad_chain', []),
    chain('session alone', 'bad_chain', [alice]),
    chain('one certificate too many', 'bad_chain', [admin, ...full]),
    chain('another root', 'bad_chain', full, { root: other.root.publicKey }),
    chain('of another mesh', 'bad_token', chainOf(other)),
    chain('out of order', 'bad_token', [invite, admin, member, alice]),
    chain('without its member', 'bad_token', [admin, invite, alice]),
    chain('signature changed', 'bad_token', [admin, invite, flipPart(member, 1), alice]),
    chain('payload changed', 'bad_token', [admin, flipPart(invite, 0), member, alice]),
    chain('proof of possession changed', 'bad_token', [admin, invite, member, flipPart(alice, 2)]),
    chain('proof of possession missing', 'bad_token', [admin, invite, member, alice.split('.').slice(0, 2).join('.')]),
    chain('stolen session key', 'bad_token', [admin, invite, member, sessionBy({ session: { publicKey: w.bob.publicKey, secretKey: w.alice.secretKey } })]),
    chain('invite by a stranger', 'bad_token', [admin, inviteBy({ issuer: other.admin }), member, alice]),
    chain('member that signed itself', 'bad_token', [admin, invite, memberBy({ issuer: w.member }), alice]),
    chain('session by another member', 'bad_token', [admin, invite, member, sessionBy({ member: w.admin })]),
    chain('root-signed, but names an invite', 'bad_chain', [memberBy({ issuer: w.root }), alice]),
    chain('invite by a mere member', 'bad_chain', [plain, invite, member, alice]),
    chain('admin invited by an admin', 'bad_chain', [admin, inviteBy({ role: 'admin' }), memberBy({ role: 'admin' }), alice]),
    chain('another invite named', 'bad_chain', [admin, invite, memberBy({ via: other.invite.publicKey }), alice]),
    chain('another role than invited', 'bad_chain', [admin, invite, memberBy({ role: 'admin' }), alice]),
    chain('older than its invite', 'bad_chain', [admin, invite, memberBy({ iat: now - skew - 1 }), alice]),
    chain('made after the invite expired', 'invite_expired', [admin, invite, memberBy({ iat: now + day + 1 }), alice]),
    chain('invite expired', 'invite_expired', [admin, invite], { now: now + day + 1 }, 'invite'),
    chain('name with a bidi override', 'bad_chain', [
      admin,
      invite,
      signToken('member', { m: mesh, k: w.member.publicKey, via: w.invite.publicKey, role: 'member', name: 'a\u202eb', iat: now }, w.invite, w.member),
      alice,
    ]),
    chain('session over seven days', 'bad_chain', [admin, invite, member, sessionBy({ exp: now + 7 * day + 1 })]),
    chain('session not valid yet', 'bad_chain', full, { now: now - skew - 1 }),
    chain('session expired', 'bad_chain', full, { now: now + day + skew + 1 }),
    chain('admin revoked', 'revoked', full, { revoked: { ...nobody, members: [w.admin.publicKey] } }),
    chain('invite revoked', 'revoked', full, { revoked: { ...nobody, invites: [w.invite.publicKey] } }),
    chain('member revoked', 'revoked', full, { revoked: { ...nobody, members: [w.member.publicKey] } }),
    chain('session revoked', 'revoked', full, { revoked: { ...nobody, sessions: [w.alice.publicKey] } }),
  ]
}

const flipPart = (token: string, part: number): string =>
  token
    .split('.')
    .map((text, i) => (i === part ? flip(text, 5) : text))
    .join('.')

function presenceCases(w: World, other: World): Negative[] {
  const forge = (o: object) => signToken('presence', { m: w.mesh, k: w.alice.publicKey, seq: 1, ts: now, name: 'Alice', groups: [], ...o }, w.alice)
  const presence = (name: string, token: string): Negative => ({
    name: `presence: ${name}`,
    operation: 'presence',
    input: { token, mesh: w.mesh, session: w.alice.publicKey },
    error: 'bad_presence',
  })
  return [
    presence('by another session', issuePresence({ mesh: w.mesh, session: w.bob, seq: 1, ts: now, name: 'Alice', groups: [] })),
    presence('names another session', forge({ k: w.bob.publicKey })),
    presence('of another mesh', forge({ m: other.mesh })),
    presence('reserved name', forge({ name: 'system' })),
    presence('group twice', forge({ groups: [{ name: 'g' }, { name: 'G' }] })),
    presence('thirty-three groups', forge({ groups: Array.from({ length: 33 }, (_, i) => ({ name: `g${i}` })) })),
    presence('control character in the summary', forge({ summary: '\u001b[2J' })),
  ]
}

function policyCases(w: World, other: World): Negative[] {
  const { policy1, policy2, policy3, policy4, admin: cert } = w.tokens
  const [one, two] = epochsOf(w.mesh)
  const base = { mesh: w.mesh, issuer: w.root, v: 1, iat: now, revoked: nobody, allow, brokers: [] }
  const policy = (name: string, token: string, o: object = {}): Negative => ({
    name: `policy: ${name}`,
    operation: 'policy',
    input: { token, mesh: w.mesh, root: w.root.publicKey, ...o },
    error: 'bad_policy',
  })
  return [
    policy('by an admin without certificate', issuePolicy({ ...base, issuer: w.admin })),
    policy('by a member with an admin’s certificate', issuePolicy({ ...base, issuer: w.member, cert })),
    policy('another root', policy1, { root: other.root.publicKey }),
    policy('changed', flipPart(policy1, 0)),
    policy('first with a predecessor', issuePolicy({ ...base, prev: policy1 })),
    policy('later without a predecessor', issuePolicy({ ...base, v: 2 })),
    policy('another predecessor', policy2, { prev: issuePolicy({ ...base, iat: now + 1 }) }),
    policy('a version skipped', issuePolicy({ ...base, v: 3, prev: policy1 }), { prev: policy1 }),
    policy('older than pinned', policy1, { pinned: policy2 }),
    policy('two of one version', issuePolicy({ ...base, iat: now + 1 }), { pinned: policy1 }),
    policy('a removal without a new epoch', issuePolicy({ ...base, v: 4, prev: policy3, epoch: one, revoked: { ...nobody, members: [w.member.publicKey] } }), {
      prev: policy3,
    }),
    policy('an epoch taken back', issuePolicy({ ...base, v: 5, prev: policy4, epoch: one }), { prev: policy4 }),
    policy('an epoch taken away', issuePolicy({ ...base, v: 5, prev: policy4 }), { pinned: policy4 }),
    policy('two epochs at once', issuePolicy({ ...base, v: 4, prev: policy3, epoch: { ...two, number: 3, back: { ...two.back, h: one.mk } as Back } }), {
      prev: policy3,
    }),
    policy('another key for an epoch', issuePolicy({ ...base, v: 4, prev: policy3, epoch: { ...one, mk: two.mk } }), { prev: policy3 }),
    policy(
      'another way back from an epoch',
      issuePolicy({ ...base, v: 5, prev: policy4, epoch: { ...two, back: { ...two.back, n: 'A'.repeat(32) } as Back } }),
      {
        prev: policy4,
      },
    ),
    policy('a second epoch without a way back', issuePolicy({ ...base, v: 4, prev: policy3, epoch: { number: 2, mk: two.mk } })),
    policy('more epochs than versions', issuePolicy({ ...base, epoch: two })),
  ]
}

function helloCases(w: World, other: World): Negative[] {
  const good = { ...w.greeting, member: w.member.publicKey, session: w.alice.publicKey, ...signHello({ ...w.greeting, member: w.member, session: w.alice }) }
  const hello = (name: string, change: object): Negative => ({
    name: `hello: ${name}`,
    operation: 'hello',
    input: { ...good, ...change },
    error: 'unauthorized',
  })
  const enrolment = { ...w.greeting, member: w.member.publicKey, proof: signEnrol({ ...w.greeting, member: w.member }) }
  return [
    hello('another nonce', { nonce: other.greeting.nonce }),
    hello('another address', { aud: 'wss://evil.example.com' }),
    hello('another mesh', { mesh: other.mesh }),
    hello('another time', { timestamp: now + 1 }),
    hello('session key of somebody else', { session: w.bob.publicKey }),
    hello('proof in place of the signature', { signature: good.proof }),
    { name: 'enrol: a hello’s signature', operation: 'enrol', input: { ...enrolment, proof: good.signature }, error: 'unauthorized' },
  ]
}

function textCases(w: World): Negative[] {
  const link = formatInviteLink('mesh.example.com', w.root.publicKey, w.seeds.invite)
  const text = (operation: 'link' | 'base64', error: ErrorCode) => (name: string, input: string) => ({
    name: `${operation}: ${name}`,
    operation,
    input: { text: input },
    error,
  })
  const linkCase = text('link', 'bad_invite_link')
  const base64 = text('base64', 'bad_encoding')
  return [
    linkCase('cut short', link.slice(0, -3)),
    linkCase('no secret', link.slice(0, link.indexOf('#'))),
    linkCase('a path', link.replace('#', '/x#')),
    linkCase('another version', `cm1:h#${toB64u(concat(Uint8Array.of(2), fromB64u(w.root.publicKey), w.seeds.invite))}`),
    base64('padding', 'AA=='),
    base64('standard alphabet', '+/+/'),
    base64('set bits after the end', 'AB'),
    base64('one character', 'A'),
  ]
}
