import type { ClientId } from '@claudemesh/protocol'
import { fromB64u, toB64u } from '../src/base64.ts'
import { bodyHash, bodyKey, keyCommitment, wrapPlain } from '../src/body.ts'
import { SendCounters } from '../src/counters.ts'
import { signCreate, signEnrol, signHello } from '../src/hello.ts'
import { encodeInner } from '../src/inner.ts'
import { formatInviteLink } from '../src/invite-link.ts'
import { fingerprint, memberIdOf, type KeyPair } from '../src/keys.ts'
import { messageIdOf } from '../src/message-id.ts'
import { pad, paddedLength } from '../src/padding.ts'
import { PairKeys } from '../src/pair-keys.ts'
import { meshWords, pairWords } from '../src/safety-words.ts'
import { seal } from '../src/seal.ts'
import { decodeText, hash, sodium } from '../src/sodium.ts'
import { tokenHash } from '../src/token.ts'
import { sealed } from './sealed.ts'
import { chainOf, hex, now, seeded, type World } from './world.ts'

export const message = {
  to: '@frontend',
  id: toB64u(new Uint8Array(16).fill(7)) as ClientId,
  ts: now,
  p: 'next' as const,
  b: 'the deploy is frozen: “wait” \u{1f6d1}\n',
  re: 'AAAAAAAAAAAAAAAAAAAAAA',
  hops: 1,
  pv: [2, 'abcdefgh'] as const,
}

/** Every intermediate value of the honest path. */
export const positive = (w: World) => ({
  now,
  mesh: w.mesh,
  keys: Object.fromEntries((['root', 'admin', 'invite', 'member', 'alice', 'bob', 'carol'] as const).map((name) => [name, keyVector(w.seeds[name], w[name])])),
  memberId: memberIdOf(w.mesh, w.member.publicKey),
  messageId: messageIdOf(w.alice.publicKey, message.id),
  fingerprint: fingerprint(w.alice.publicKey),
  inviteLink: formatInviteLink('mesh.example.com', w.root.publicKey, w.seeds.invite),
  tokens: Object.fromEntries(Object.entries(w.tokens).map(([name, token]) => [name, tokenVector(token)])),
  transcripts: {
    greeting: w.greeting,
    hello: signHello({ ...w.greeting, member: w.member, session: w.alice }),
    enrol: { proof: signEnrol({ ...w.greeting, member: w.member }) },
    create: { proof: signCreate({ ...w.greeting, root: w.root }) },
  },
  paddedLengths: [0, 1, 252, 253, 268, 269, 508, 509, 1020, 1021, 4096, 65_532, 65_533, 70_000].map((n) => [n, paddedLength(n)]),
  box: boxVector(w),
  shared: sharedVector(w),
  sealed: sealed(w),
  safetyWords: { mesh: meshWords(w.root.publicKey), pair: pairWords(w.root.publicKey, w.admin.publicKey, w.member.publicKey) },
})

function keyVector(seed: Uint8Array, key: KeyPair<string>) {
  return {
    seed: hex(seed),
    publicKey: key.publicKey,
    secretKey: hex(key.secretKey),
    x25519Public: hex(sodium.crypto_sign_ed25519_pk_to_curve25519(fromB64u(key.publicKey))),
    x25519Secret: hex(sodium.crypto_sign_ed25519_sk_to_curve25519(key.secretKey)),
  }
}

function tokenVector(token: string) {
  const [payload = '', signature = '', possession] = token.split('.')
  const json = decodeText(fromB64u(payload))
  const { t } = JSON.parse(json) as { t: string }
  const signed = `cm1:${t}\0${json}`
  return { type: t, payload: json, signed, signature, ...(possession && { possessionHash: hex(hash(32, signed)), possession }), hash: tokenHash(token), token }
}

const pairKey = (w: World, peer: 'bob' | 'carol') => new PairKeys(w.alice).with(w[peer].publicKey).shared
const outer = (w: World) => ({ id: message.id, meshId: w.mesh, senderPubkey: w.alice.publicKey, priority: message.p })
const sealing = (w: World, label: string, incarnation: number) => ({
  keys: new PairKeys(w.alice),
  counters: new SendCounters(incarnation),
  mesh: w.mesh,
  sender: w.alice.publicKey,
  message,
  random: seeded(label),
})

function boxVector(w: World) {
  const sealed = seal({ ...sealing(w, 'box', 3), recipients: [w.bob.publicKey] })
  const counter = 3 * 2 ** 32
  const inner = encodeInner({ ...message, m: w.mesh, f: w.alice.publicKey, r: w.bob.publicKey, c: counter })
  return {
    message,
    counter,
    pairKey: hex(pairKey(w, 'bob')),
    inner: decodeText(inner),
    padded: hex(pad(inner)),
    send: { nonce: sealed.nonce, to: sealed.to, ciphertext: sealed.ciphertext },
    push: { ...outer(w), nonce: sealed.nonce, ciphertext: sealed.ciphertext },
    chain: chainOf(w),
  }
}

function sharedVector(w: World) {
  const random = seeded('shared')
  const contentKey = random(32)
  const nonce = random(24)
  const sealed = seal({ ...sealing(w, 'shared', 0), recipients: [w.bob.publicKey], shared: true })
  const more = sealed.topUp([w.carol.publicKey])
  const inner = encodeInner({ ...message, m: w.mesh, f: w.alice.publicKey })
  const body = fromB64u(sealed.ciphertext)
  const push = { ...outer(w), nonce: sealed.nonce, ciphertext: sealed.ciphertext }
  return {
    message,
    counter: 0,
    contentKey: hex(contentKey),
    keyCommitment: hex(keyCommitment(contentKey)),
    bodyKey: hex(bodyKey(contentKey)),
    nonce: hex(nonce),
    pairKeys: { bob: hex(pairKey(w, 'bob')), carol: hex(pairKey(w, 'carol')) },
    inner: decodeText(inner),
    padded: hex(pad(inner)),
    body: hex(body),
    bodyHash: hex(bodyHash(nonce, body)),
    wrapPlain: hex(wrapPlain(contentKey, bodyHash(nonce, body), 0)),
    send: { nonce: sealed.nonce, to: sealed.to, wraps: sealed.wraps, ciphertext: sealed.ciphertext },
    topUp: more,
    pushes: { bob: { ...push, wrap: sealed.wraps }, carol: { ...push, wrap: more.wraps } },
    chain: chainOf(w),
  }
}
