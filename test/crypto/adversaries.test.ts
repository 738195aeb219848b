// Who can do what: what a malicious broker, fellow member, or sender is kept from, with real keys on all sides.
import {
  fromB64u,
  issueMember,
  issueSession,
  memberKey,
  PairKeys,
  ready,
  ReplayWindows,
  sessionKey,
  toB64u,
  verifyChain,
  verifyPresence,
  issuePresence,
} from '@claudemesh/crypto'
import type { SessionPubkey } from '@claudemesh/protocol'

import { beforeAll, describe, expect, test } from 'vitest'
import { bodyHash, sealBody, wrapPlain } from '../../packages/crypto/src/body.ts'
import { encodeInner } from '../../packages/crypto/src/inner.ts'
import { pad } from '../../packages/crypto/src/padding.ts'
import { sodium } from '../../packages/crypto/src/sodium.ts'
import { makeWorld, message, now, openAs, pushOf, refuses, sealFrom, seed, wrapAt, type World } from './world.ts'

let w: World
beforeAll(async () => {
  await ready()
  w = makeWorld()
})

const both = () => [w.bob.publicKey, w.carol.publicKey]
const boxTo = (from: typeof w.alice, to: SessionPubkey, nonce: Uint8Array, plain: Uint8Array) =>
  sodium.crypto_box_easy_afternm(plain, nonce, new PairKeys(from).with(to).shared)

describe('a malicious broker cannot', () => {
  test('read a message, whatever public keys it knows', () => {
    const mallory = sessionKey(seed(66))
    const push = pushOf(w, sealFrom(w))
    refuses('cannot_open', /./, () => openAs(w, push, { keys: new PairKeys(mallory), me: w.bob.publicKey }))
  })

  test('send a message back to its sender as if from the recipient', () => {
    const push = { ...pushOf(w, sealFrom(w)), senderPubkey: w.bob.publicKey }
    // The pair key is the same in both directions, so only the sender named inside tells.
    refuses('wrong_recipient', /./, () => openAs(w, push, { as: w.alice, sender: w.chainOf(w.bob) }))
    const shared = { ...pushOf(w, sealFrom(w, { shared: true })), senderPubkey: w.bob.publicKey }
    refuses('mismatched_envelope', /sender/, () => openAs(w, shared, { as: w.alice, sender: w.chainOf(w.bob) }))
  })

  test('carry a message into another mesh of the same people', () => {
    const other = makeWorld(50)
    const push = { ...pushOf(w, sealFrom(w)), meshId: other.mesh }
    const trust = { ...other.trust, ends: 'session' as const }
    const certs = [other.adminCert, issueSession({ mesh: other.mesh, session: w.alice, member: other.admin, iat: now })]
    refuses('wrong_mesh', /sealed for another/, () => openAs(w, push, { mesh: other.mesh, sender: verifyChain(certs, trust) }))
  })

  test('raise a low message to now', () => {
    const low = { ...message, p: 'low' as const }
    for (const shared of [false, true])
      refuses('mismatched_envelope', /priority/, () => openAs(w, { ...pushOf(w, sealFrom(w, { message: low, shared })), priority: 'now' }))
  })

  test('replay a message, or drop one unnoticed while later ones arrive', () => {
    const windows = new ReplayWindows()
    const push = pushOf(w, sealFrom(w))
    openAs(w, push, { windows })
    refuses('replayed', /./, () => openAs(w, push, { windows }))
  })

  test('strip the wrap or pass the wrap off as a box', () => {
    const push = pushOf(w, sealFrom(w, { shared: true }))
    refuses('cannot_open', /./, () => openAs(w, { ...push, wrap: undefined }))
    refuses('bad_padding', /./, () => openAs(w, { ...push, ciphertext: push.wrap, wrap: undefined }))
  })

  test('replace the sealed text by its own', () => refuses('plaintext_refused', /./, () => openAs(w, { ...pushOf(w, sealFrom(w)), plain: 'obey' })))

  test('make a member, a session or a recipient of its own', () => {
    const [member, session] = [memberKey(seed(66)), sessionKey(seed(67))]
    const forged = issueMember({ mesh: w.mesh, subject: member, issuer: member as never, role: 'member', name: 'Bob', iat: now })
    const cert = issueSession({ mesh: w.mesh, session, member, iat: now })
    for (const chain of [
      [forged, cert],
      [w.adminCert, w.inviteCert, forged, cert],
      [w.adminCert, w.inviteCert, w.memberCert, cert],
    ])
      refuses('bad_token', /signature/, () => verifyChain(chain, { ...w.trust, ends: 'session' }))
  })

  test('give a session another name', () => {
    const mallory = sessionKey(seed(67))
    const presence = issuePresence({ mesh: w.mesh, session: mallory, seq: 9, ts: now, name: 'Alice', groups: [] })
    refuses('bad_presence', /signature/, () => verifyPresence(presence, { mesh: w.mesh, session: w.alice.publicKey }))
  })

  test('hand the wrap of one message the body of another', () => {
    const [first, second] = [sealFrom(w, { shared: true }), sealFrom(w, { shared: true })]
    refuses('body_swapped', /./, () => openAs(w, { ...pushOf(w, first), ciphertext: second.ciphertext }))
  })
})

describe('a fellow recipient together with the broker cannot', () => {
  test('swap the body, although it knows the content key', () => {
    const sealed = sealFrom(w, { recipients: both() })
    const nonce = fromB64u(sealed.nonce)
    const known = sodium.crypto_box_open_easy_afternm(fromB64u(wrapAt(sealed.wraps ?? '', 1)), nonce, new PairKeys(w.carol).with(w.alice.publicKey).shared)
    const forged = sealBody(known.subarray(0, 32), nonce, w.mesh, pad(encodeInner({ ...message, b: 'pay Carol', m: w.mesh, f: w.alice.publicKey })))
    refuses('body_swapped', /./, () => openAs(w, { ...pushOf(w, sealed, 0), ciphertext: toB64u(forged) }))
  })

  test('re-wrap the body for somebody as if from its sender', () => {
    const sealed = sealFrom(w, { recipients: both() })
    const nonce = fromB64u(sealed.nonce)
    const known = sodium.crypto_box_open_easy_afternm(fromB64u(wrapAt(sealed.wraps ?? '', 1)), nonce, new PairKeys(w.carol).with(w.alice.publicKey).shared)
    const wrap = toB64u(boxTo(w.carol, w.bob.publicKey, nonce, known))
    refuses('cannot_open', /./, () => openAs(w, { ...pushOf(w, sealed), wrap }))
    refuses('mismatched_envelope', /sender/, () => openAs(w, { ...pushOf(w, sealed), wrap, senderPubkey: w.carol.publicKey }, { sender: w.chainOf(w.carol) }))
  })

  test('bind somebody else’s session key to its own member', () => {
    const stolen = issueSession({ mesh: w.mesh, session: { publicKey: w.bob.publicKey, secretKey: w.carol.secretKey }, member: w.joiner, iat: now })
    refuses('bad_token', /possession/, () => verifyChain([w.adminCert, w.inviteCert, w.memberCert, stolen], { ...w.trust, ends: 'session' }))
  })
})

describe('a malicious sender cannot', () => {
  test('make one body that reads differently for two recipients', () => {
    const nonce = seed(11, 24)
    const [yes, no] = [seed(21), seed(22)]
    const body = sealBody(yes, nonce, w.mesh, pad(encodeInner({ ...message, b: 'yes', m: w.mesh, f: w.alice.publicKey })))
    const push = (key: Uint8Array, to: SessionPubkey) => ({
      ...pushOf(w, { nonce: toB64u(nonce), ciphertext: toB64u(body) }),
      wrap: toB64u(boxTo(w.alice, to, nonce, wrapPlain(key, bodyHash(nonce, body), 0))),
    })
    expect(openAs(w, push(yes, w.bob.publicKey)).inner.b).toBe('yes')
    refuses('body_swapped', /another key/, () => openAs(w, push(no, w.carol.publicKey), { as: w.carol }))
  })

  test('send as another session of its own member', () => {
    const push = { ...pushOf(w, sealFrom(w)), senderPubkey: w.carol.publicKey }
    refuses('cannot_open', /./, () => openAs(w, push, { sender: w.chainOf(w.carol) }))
  })
})
