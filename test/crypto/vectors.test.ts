import { readFileSync } from 'node:fs'
import {
  fromB64u,
  open,
  PairKeys,
  parseInviteLink,
  ready,
  ReplayWindows,
  seal,
  SendCounters,
  sessionKey,
  toB64u,
  verifyChain,
  verifyEnrol,
  verifyHello,
  verifyPolicy,
  verifyPresence,
  webRandom,
  type Envelope,
} from '@claudemesh/crypto'
import * as fc from 'fast-check'
import { beforeAll, describe, expect, test } from 'vitest'
import { makeVectors } from '../../packages/crypto/generate-vectors.ts'
import { verifies } from '../harness/verifies.ts'
import * as second from './second.ts'
import { makeWorld, message, now, openAs, pushOf, refuses, sealFrom, wrapAt } from './world.ts'

type Vectors = Awaited<ReturnType<typeof makeVectors>>
const vectors = JSON.parse(readFileSync(new URL('../../packages/crypto/vectors/cm1.json', import.meta.url), 'utf8')) as Vectors
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')
const bin = (text: string) => new Uint8Array(Buffer.from(text, 'hex'))
type Name = 'alice' | 'bob' | 'carol'

beforeAll(ready)

const key = (name: string) => sessionKey(bin(vectors.keys[name]?.seed ?? ''))
const mesh = vectors.mesh
const root = () => parseInviteLink(vectors.inviteLink).root
const chain = (tokens: string[]) => verifyChain(tokens, { mesh, root: root(), now: vectors.now, ends: 'session' })
const openPush = (push: Envelope, as: Name, tokens: string[], windows = new ReplayWindows(), at = vectors.now, allow?: { plaintext: boolean }) =>
  open(push, { keys: new PairKeys(key(as)), me: key(as).publicKey, mesh, sender: chain(tokens), now: at, windows, allow })

describe('the production code', () => {
  test('reproduces every vector', async () => expect(JSON.parse(JSON.stringify(await makeVectors()))).toEqual(vectors))

  test('opens every honest push', () => {
    expect(openPush(vectors.box.push as Envelope, 'bob', vectors.box.chain)).toMatchObject({ inner: vectors.box.message, counter: vectors.box.counter })
    for (const name of ['bob', 'carol'] as const)
      expect(openPush(vectors.shared.pushes[name] as Envelope, name, vectors.shared.chain)).toMatchObject({ inner: vectors.shared.message, counter: 0 })
  })

  test('there are at least sixty negative cases, each with its own name', () => {
    expect(vectors.negative.length).toBeGreaterThanOrEqual(60)
    expect(new Set(vectors.negative.map((c) => c.name)).size).toBe(vectors.negative.length)
  })

  const run: Record<string, (input: never) => unknown> = {
    open: (o: { push: Envelope; as: Name; chain: string[]; now: number; after?: Envelope[]; allow?: { plaintext: boolean } }) => {
      const windows = new ReplayWindows()
      for (const push of o.after ?? []) openPush(push, o.as, o.chain, windows)
      return openPush(o.push, o.as, o.chain, windows, o.now, o.allow)
    },
    chain: (o: { tokens: string[] } & Parameters<typeof verifyChain>[1]) => verifyChain(o.tokens, o),
    presence: (o: { token: string } & Parameters<typeof verifyPresence>[1]) => verifyPresence(o.token, o),
    policy: (o: { token: string } & Parameters<typeof verifyPolicy>[1]) => verifyPolicy(o.token, o),
    hello: verifyHello,
    enrol: verifyEnrol,
    link: (o: { text: string }) => parseInviteLink(o.text),
    base64: (o: { text: string }) => fromB64u(o.text),
  }

  // Mesh keys, key boxes and records have their own file.
  test.each(vectors.negative.filter((c) => c.operation in run).map((c) => [c.name, c.error, c] as const))('refuses %s as %s', (_name, error, c) =>
    refuses(error, /./, () => (run[c.operation] as (input: unknown) => unknown)(c.input)),
  )
})

describe('the second implementation', () => {
  const keys = (name: string) => second.keysOf(bin(vectors.keys[name]?.seed ?? ''))
  const seedOf = (name: string) => (name === 'invite' ? second.inviteSeed(keys('root').pub, bin(vectors.keys['invite']?.seed ?? '')) : keys(name).seed)

  test.each(Object.keys(vectors.keys))('derives the keys of %s', (name) => {
    const made = second.keysOf(seedOf(name))
    const vector = vectors.keys[name]
    expect(made.pub).toBe(vector?.publicKey)
    expect(hex(made.x25519Public)).toBe(vector?.x25519Public)
    expect(hex(made.x25519Secret)).toBe(vector?.x25519Secret)
    expect(hex(made.seed) + hex(fromB64u(made.pub))).toBe(vector?.secretKey)
  })

  test('derives the ids', () => {
    expect(second.meshId(keys('root').pub)).toBe(vectors.mesh)
    expect(second.memberId(vectors.mesh, keys('member').pub)).toBe(vectors.memberId)
    expect(second.messageId(keys('alice').pub, vectors.box.message.id)).toBe(vectors.messageId)
    expect(hex(second.h(32, 'cm1:fingerprint\0', fromB64u(keys('alice').pub))).slice(0, 8)).toBe(vectors.fingerprint.replace(' ', ''))
  })

  test('reads the invite link', () => {
    const bytes = fromB64u(vectors.inviteLink.split('#')[1] ?? '')
    expect([bytes[0], second.b64u(bytes.subarray(1, 33)), hex(bytes.subarray(33))]).toEqual([1, keys('root').pub, vectors.keys['invite']?.seed])
  })

  const issuers: Record<string, [issuer: string, subject?: string]> = {
    admin: ['root', 'admin'],
    invite: ['admin'],
    member: ['invite', 'member'],
    alice: ['member', 'alice'],
    bob: ['member', 'bob'],
    carol: ['member', 'carol'],
    presence: ['alice'],
    policy1: ['root'],
    policy2: ['admin'],
    policy3: ['root'],
    policy4: ['root'],
  }
  test.each(Object.keys(vectors.tokens))('makes and verifies the token %s', (name) => {
    const [issuer, subject] = issuers[name] ?? ['']
    const vector = vectors.tokens[name]
    const made = second.token(vector?.type ?? '', vector?.payload ?? '', seedOf(issuer), subject === undefined ? undefined : seedOf(subject))
    expect(made).toBe(vector?.token)
    expect(second.b64u(second.h(32, made))).toBe(vector?.hash)
    expect(second.readToken(vector?.type ?? '', made, second.keysOf(seedOf(issuer)).pub)).toMatchObject({ t: vector?.type })
  })

  test('signs the transcripts', () => {
    const { greeting, hello, enrol, create } = vectors.transcripts
    const of = second.hello(greeting, keys('member').pub, keys('alice').pub)
    expect([second.sign(seedOf('member'), of), second.sign(seedOf('alice'), of)]).toEqual([hello.signature, hello.proof])
    const tail = { aud: greeting.aud, n: greeting.nonce, cn: greeting.clientNonce, ts: greeting.timestamp }
    const enrolment = `cm1:enrol\0${JSON.stringify({ t: 'enrol', m: mesh, mk: keys('member').pub, ...tail })}`
    expect(second.sign(seedOf('member'), enrolment)).toBe(enrol.proof)
    const creation = `cm1:create\0${JSON.stringify({ t: 'create', m: mesh, r: keys('root').pub, ...tail })}`
    expect(second.sign(seedOf('root'), creation)).toBe(create.proof)
  })

  test('pads to the same lengths', () => {
    for (const [n, length] of vectors.paddedLengths) expect(second.padme(n as number)).toBe(length)
  })

  test('makes the box, value by value', () => {
    verifies('encryption.direct')
    const { box } = vectors
    const alice = keys('alice')
    expect(hex(second.pairKey(alice, keys('bob').pub))).toBe(box.pairKey)
    expect(hex(second.pad(box.inner))).toBe(box.padded)
    expect(second.sealBox(alice, keys('bob').pub, fromB64u(box.send.nonce), JSON.parse(box.inner) as object)).toBe(box.send.ciphertext)
  })

  test('makes the shared body and its wraps, value by value', () => {
    const { shared } = vectors
    const [contentKey, nonce] = [bin(shared.contentKey), bin(shared.nonce)]
    expect(hex(second.h(32, 'cm1:kc\0', contentKey))).toBe(shared.keyCommitment)
    expect(hex(second.h(32, 'cm1:bk\0', contentKey))).toBe(shared.bodyKey)
    expect(hex(second.pad(shared.inner))).toBe(shared.padded)
    expect(hex(second.h(32, 'cm1:body\0', nonce, bin(shared.body)))).toBe(shared.bodyHash)
    const peers = (['bob', 'carol'] as const).map((name) => ({ pub: keys(name).pub, counter: 0 }))
    const made = second.sealShared(keys('alice'), mesh, contentKey, nonce, JSON.parse(shared.inner) as object, peers)
    expect(made.ciphertext).toBe(shared.send.ciphertext)
    expect(made.wraps).toEqual([shared.send.wraps, shared.topUp.wraps])
    for (const name of ['bob', 'carol'] as const) expect(hex(second.pairKey(keys('alice'), keys(name).pub))).toBe(shared.pairKeys[name])
  })

  const opening = (as: string, at = vectors.now) => ({ me: keys(as), mesh: mesh as string, sessionEnd: vectors.now + 86_400_000, now: at })

  test('opens every honest push', () => {
    expect(second.open(vectors.box.push as never, opening('bob'))).toMatchObject({ inner: vectors.box.message, counter: vectors.box.counter })
    for (const name of ['bob', 'carol'] as const)
      expect(second.open(vectors.shared.pushes[name] as never, opening(name))).toMatchObject({ inner: vectors.shared.message, counter: 0 })
  })

  // The sender's chain and the replay window are state around the envelope, which this one does not keep.
  const frames = vectors.negative.filter((c) => c.operation === 'open' && !['unknown_sender', 'replayed'].includes(c.error))
  test.each(frames.map((c) => [c.name, c.error, c] as const))('refuses %s as %s', (_name, error, c) => {
    const o = c.input as { push: never; as: Name }
    expect(() => second.open(o.push, opening(o.as))).toThrow(new Error(error))
  })
})

describe('fresh messages of either implementation open in the other', () => {
  const texts = fc.string({ unit: 'binary', maxLength: 2000 })
  const seeds = fc.uint8Array({ minLength: 32, maxLength: 32 })

  test('from the production code to the second', () => {
    const w = makeWorld()
    fc.assert(
      fc.property(texts, fc.boolean(), (b, shared) => {
        const sent = { ...message, b }
        const sealed = sealFrom(w, { message: sent, shared })
        const opened = second.open(pushOf(w, sealed) as never, { me: second.keysOf(w.bob.secretKey.slice(0, 32)), mesh: w.mesh, sessionEnd: now + 1, now })
        expect(opened).toMatchObject({ inner: sent, counter: 0 })
      }),
      { numRuns: 25 },
    )
  })

  test('from the second to the production code', () => {
    const w = makeWorld()
    const me = second.keysOf(w.alice.secretKey.slice(0, 32))
    fc.assert(
      fc.property(texts, fc.boolean(), fc.nat(2 ** 31), (b, shared, counter) => {
        const nonce = webRandom(24)
        const inner = { v: 1, m: w.mesh, f: me.pub, ...message, b }
        const bob = w.bob.publicKey
        const made = shared
          ? second.sealShared(me, w.mesh, webRandom(32), nonce, inner, [{ pub: bob, counter }])
          : { ciphertext: second.sealBox(me, bob, nonce, { ...inner, r: bob, c: counter }), wraps: [] }
        const push = pushOf(w, { nonce: toB64u(nonce), ciphertext: made.ciphertext })
        expect(openAs(w, { ...push, wrap: made.wraps[0] })).toMatchObject({ inner: { ...message, b }, counter })
      }),
      { numRuns: 25 },
    )
  })

  test('between any two keys, with the same pair key at both ends', () => {
    fc.assert(
      fc.property(seeds, seeds, (a, b) => {
        fc.pre(hex(a) !== hex(b))
        const ours = new PairKeys(sessionKey(a)).with(sessionKey(b).publicKey).shared
        expect(hex(ours)).toBe(hex(second.pairKey(second.keysOf(b), second.keysOf(a).pub)))
      }),
      { numRuns: 20 },
    )
  })

  test('a group message with many recipients opens at each', () => {
    const w = makeWorld()
    const peers = Array.from({ length: 20 }, () => sessionKey(webRandom(32)))
    const sealed = seal({
      keys: new PairKeys(w.alice),
      counters: new SendCounters(),
      mesh: w.mesh,
      sender: w.alice.publicKey,
      recipients: peers.map((peer) => peer.publicKey),
      message,
      random: webRandom,
    })
    peers.forEach((peer, i) => {
      const push = { ...pushOf(w, sealed), wrap: wrapAt(sealed.wraps ?? '', i) }
      expect(second.open(push as never, { me: second.keysOf(peer.secretKey.slice(0, 32)), mesh: w.mesh, sessionEnd: now + 1, now }).inner).toMatchObject(
        message,
      )
    })
  })
})
