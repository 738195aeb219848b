import { fromB64u, PairKeys, ready, ReplayWindows, SendCounters, toB64u, type Envelope } from '@claudemesh/crypto'
import type { ClientId } from '@claudemesh/protocol'

import { beforeAll, describe, expect, test } from 'vitest'
import { bodyHash, sealBody, wrapPlain } from '../../packages/crypto/src/body.ts'
import { encodeInner, type Inner } from '../../packages/crypto/src/inner.ts'
import { pad } from '../../packages/crypto/src/padding.ts'
import { sodium } from '../../packages/crypto/src/sodium.ts'
import { day, makeWorld, message, now, openAs, pushOf, refuses, sealFrom, seed, type World } from './world.ts'

let w: World
beforeAll(async () => {
  await ready()
  w = makeWorld()
})

const nonce = seed(11, 24)
const contentKey = seed(12)
const flip = (text: string | undefined, at = 0) => {
  const bytes = fromB64u(text ?? '')
  bytes[at]! ^= 1
  return toB64u(bytes)
}
const boxed = (plain: Uint8Array) => toB64u(sodium.crypto_box_easy_afternm(plain, nonce, new PairKeys(w.alice).with(w.bob.publicKey).shared))
const inner = (o: Partial<Inner> = {}): Inner => ({ ...message, m: w.mesh, f: w.alice.publicKey, ...o })
const bare = (): Envelope => ({ id: message.id, meshId: w.mesh, senderPubkey: w.alice.publicKey, priority: message.p, nonce: toB64u(nonce) })

/** A box that only a dishonest sender makes: any plaintext. */
const boxPush = (padded: Uint8Array): Envelope => ({ ...bare(), ciphertext: boxed(padded) })
const boxOf = (o: Partial<Inner> = {}) => boxPush(pad(encodeInner(inner({ r: w.bob.publicKey, c: 0, ...o }))))
const json = (o: object) => pad(new TextEncoder().encode(JSON.stringify({ v: 1, ...inner({ r: w.bob.publicKey, c: 0 }), ...o })))

/** A shared body that only a dishonest sender makes. */
function sharedPush(o: { padded?: Uint8Array; body?: Uint8Array; plain?: Uint8Array; mesh?: typeof w.mesh; wrapped?: Uint8Array } = {}): Envelope {
  const body = o.body ?? sealBody(contentKey, nonce, o.mesh ?? w.mesh, o.padded ?? pad(encodeInner(inner())))
  return { ...bare(), ciphertext: toB64u(body), wrap: boxed(o.plain ?? wrapPlain(o.wrapped ?? contentKey, bodyHash(nonce, body), 0)) }
}
const sharedOf = (o: Partial<Inner> = {}) => sharedPush({ padded: pad(encodeInner(inner(o))) })

test('the frames made here by hand open as they stand', () => {
  for (const push of [boxOf(), boxPush(json({})), sharedPush()]) expect(openAs(w, push).inner).toEqual(message)
})

describe('wrong_mesh', () => {
  const other = () => makeWorld(50).mesh
  test('on the envelope', () => refuses('wrong_mesh', /another mesh/, () => openAs(w, { ...pushOf(w, sealFrom(w)), meshId: other() })))
  test('inside a box', () => refuses('wrong_mesh', /sealed for another/, () => openAs(w, boxOf({ m: other() }))))
  test('inside a shared body', () => refuses('wrong_mesh', /sealed for another/, () => openAs(w, sharedOf({ m: other() }))))
})

describe('unknown_sender', () => {
  test('a chain to another session', () => refuses('unknown_sender', /./, () => openAs(w, pushOf(w, sealFrom(w)), { sender: w.chainOf(w.carol) })))
  test('a chain that ends before the session', () => refuses('unknown_sender', /./, () => openAs(w, pushOf(w, sealFrom(w)), { sender: {} })))
})

describe('cannot_open', () => {
  const box = () => pushOf(w, sealFrom(w))
  const shared = () => pushOf(w, sealFrom(w, { shared: true }))
  test.each([
    ['a box with a bit changed', () => ({ ...box(), ciphertext: flip(box().ciphertext) })],
    ['a box under another nonce', () => ({ ...box(), nonce: toB64u(seed(1, 24)) })],
    ['a nonce of the wrong length', () => ({ ...box(), nonce: toB64u(seed(1, 23)) })],
    ['a nonce that is not base64url', () => ({ ...box(), nonce: '='.repeat(32) })],
    ['a wrap with a bit changed', () => ({ ...shared(), wrap: flip(shared().wrap) })],
    ['a wrap cut short', () => ({ ...shared(), wrap: toB64u(seed(1, 15)) })],
    ['no ciphertext at all', () => ({ ...box(), ciphertext: undefined })],
    ['a wrap without a body', () => ({ ...shared(), ciphertext: '*' })],
    ['a shared body without its wrap', () => ({ ...shared(), wrap: undefined })],
    ['text in base64, as a plain broadcast would be', () => ({ ...box(), ciphertext: Buffer.from('hello').toString('base64url') })],
  ] as [string, () => Envelope][])('%s', (_what, push) => refuses('cannot_open', /./, () => openAs(w, push())))

  test('a box for somebody else', () => refuses('cannot_open', /./, () => openAs(w, box(), { as: w.carol })))
  test('a wrap for somebody else', () =>
    refuses('cannot_open', /./, () => openAs(w, pushOf(w, sealFrom(w, { recipients: [w.bob.publicKey, w.carol.publicKey] }), 1))))
  test('a wrap that is boxed, but not of 72 bytes', () => {
    const plain = new Uint8Array(73)
    plain.set(wrapPlain(contentKey, bodyHash(nonce, fromB64u(sharedPush().ciphertext ?? '')), 0))
    refuses('cannot_open', /wrong length/, () => openAs(w, sharedPush({ plain })))
  })
  test('a body sealed in the context of another mesh', () => refuses('cannot_open', /./, () => openAs(w, sharedPush({ mesh: makeWorld(50).mesh }))))
})

describe('body_swapped', () => {
  test('a body with a bit changed', () => {
    const push = sharedPush()
    for (const at of [0, 32, 100]) refuses('body_swapped', /not the one/, () => openAs(w, { ...push, ciphertext: flip(push.ciphertext, at) }))
  })
  test('a body that commits to another key than the wrap carries', () =>
    refuses('body_swapped', /another key/, () => openAs(w, sharedPush({ wrapped: seed(13) }))))
  test('a body shorter than a commitment', () => refuses('body_swapped', /another key/, () => openAs(w, sharedPush({ body: seed(1, 5) }))))
})

test('bad_padding: in either form', () => {
  const padded = pad(encodeInner(inner({ r: w.bob.publicKey, c: 0 })))
  padded[padded.length - 1] = 1
  refuses('bad_padding', /./, () => openAs(w, boxPush(padded)))
  refuses('bad_padding', /./, () => openAs(w, sharedPush({ padded })))
  refuses('bad_padding', /./, () => openAs(w, { ...sharedPush(), ciphertext: sharedPush().wrap, wrap: undefined }))
})

const file = { id: `f_${'a'.repeat(26)}`, name: 'a.txt', size: 1, mime: 'text/plain', key: 'A'.repeat(43), sha256: 'A'.repeat(43) }

describe('bad_version', () => {
  test('as many files as a message may bear are none', () => {
    expect(openAs(w, boxPush(json({ a: Array.from({ length: 16 }, () => file) })))).toMatchObject({ inner: { a: expect.arrayContaining([file]) } })
  })

  test.each([
    ['another version', { v: 2 }],
    ['no version', { v: undefined }],
    ['a version as text', { v: '1' }],
    ...(['m', 'f', 'to', 'b'] as const).flatMap((field) => [
      [`no ${field}`, { [field]: undefined }] as const,
      [`${field} as a list`, { [field]: [] }] as const,
    ]),
    ['a short id', { id: 'abc' }],
    ['a time with a fraction', { ts: now + 0.5 }],
    ['a time before all time', { ts: -1 }],
    ['a priority nobody knows', { p: 'urgent' }],
    ['an answer to something that is no id', { re: 7 }],
    ['an answer to something too long', { re: 'x'.repeat(65) }],
    ['hops that are no number', { hops: 'many' }],
    ['hops below zero', { hops: -1 }],
    ['a kind that is too long', { k: 'k'.repeat(17) }],
    ['an empty list of files', { a: [] }],
    ['a file without its key', { a: [{ ...file, key: undefined }] }],
    ['more files than a message may bear', { a: Array.from({ length: 17 }, () => file) }],
    ['a policy version without its hash', { pv: [7] }],
    ['a policy version below zero', { pv: [-1, 'x'] }],
    ['a policy hash that is no text', { pv: [7, 7] }],
    ['a policy hash too long', { pv: [7, 'x'.repeat(44)] }],
    ['a recipient that is no text', { r: 7 }],
    ['a counter with a fraction', { c: 0.5 }],
    ['a counter below zero', { c: -1 }],
    ['no counter in a box', { c: undefined }],
  ] as [string, object][])('%s', (_what, change) => refuses('bad_version', /sealed message/, () => openAs(w, boxPush(json(change)))))

  test.each([
    ['text', new TextEncoder().encode('hello')],
    ['what is not UTF-8', Uint8Array.of(0x22, 0xff, 0x22)],
  ])('%s instead of JSON', (_what, bytes) => refuses('bad_version', /not JSON/, () => openAs(w, boxPush(pad(bytes)))))

  test('unknown fields are ignored', () => expect(openAs(w, boxPush(json({ later: true }))).inner).toEqual(message))
})

describe('wrong_recipient', () => {
  test('a box that names another recipient', () => refuses('wrong_recipient', /./, () => openAs(w, boxOf({ r: w.carol.publicKey }))))
  test('a box that names none', () => refuses('wrong_recipient', /./, () => openAs(w, boxOf({ r: undefined }))))
})

describe('mismatched_envelope', () => {
  const forms = [
    ['box', (o: Partial<Inner>) => boxOf(o)],
    ['shared body', (o: Partial<Inner>) => sharedOf(o)],
  ] as const
  test.each(forms)('another sender inside a %s', (_form, make) => refuses('mismatched_envelope', /sender/, () => openAs(w, make({ f: w.carol.publicKey }))))
  test.each(forms)('another priority on a %s', (_form, make) => {
    for (const priority of ['now', 'low'] as const) refuses('mismatched_envelope', /priority/, () => openAs(w, { ...make({}), priority }))
  })
  test.each(forms)('another id on a %s', (_form, make) =>
    refuses('mismatched_envelope', /another id/, () => openAs(w, { ...make({}), id: toB64u(seed(8, 16)) as ClientId })),
  )
})

describe('stale_message', () => {
  const skew = 300_000
  const longChain = () => ({ ...w.chainOf(w.alice), session: { key: w.alice.publicKey, iat: now, exp: now + 30 * day, caps: [] } })
  test('more than seven days old', () => {
    expect(() => openAs(w, boxOf(), { now: now + 7 * day })).not.toThrow()
    refuses('stale_message', /seven days/, () => openAs(w, boxOf(), { now: now + 7 * day + 1 }))
  })
  test('more than seven days ahead', () => {
    expect(() => openAs(w, boxOf({ ts: now + 7 * day }), { sender: longChain() })).not.toThrow()
    refuses('stale_message', /seven days/, () => openAs(w, boxOf({ ts: now + 7 * day + 1 }), { sender: longChain() }))
  })
  test('dated after the end of its sender’s certificate', () => {
    expect(() => openAs(w, boxOf({ ts: now + day + skew }))).not.toThrow()
    refuses('stale_message', /certificate ended/, () => openAs(w, boxOf({ ts: now + day + skew + 1 })))
  })
})

describe('replayed', () => {
  test.each([
    ['a box', false],
    ['a shared body', true],
  ])('%s a second time', (_form, shared) => {
    const windows = new ReplayWindows()
    const push = pushOf(w, sealFrom(w, { shared }))
    openAs(w, push, { windows })
    refuses('replayed', /already/, () => openAs(w, push, { windows }))
  })

  test('a counter above what a number holds', () => {
    const plain = wrapPlain(contentKey, bodyHash(nonce, fromB64u(sharedPush().ciphertext ?? '')), 0)
    plain.fill(0xff, 64)
    refuses('replayed', /out of range/, () => openAs(w, sharedPush({ plain })))
    plain.set([0, 0x20, 0, 0, 0, 0, 0, 0], 64)
    refuses('replayed', /out of range/, () => openAs(w, sharedPush({ plain })))
    plain.set([0, 0x1f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], 64)
    expect(openAs(w, sharedPush({ plain })).counter).toBe(Number.MAX_SAFE_INTEGER)
  })

  test('a refused message does not use its counter up', () => {
    const windows = new ReplayWindows()
    const counters = new SendCounters()
    const first = pushOf(w, sealFrom(w, { counters }))
    const wrong: [string, Envelope][] = [
      ['mismatched_envelope', { ...first, priority: 'now' }],
      ['cannot_open', { ...first, ciphertext: flip(first.ciphertext) }],
    ]
    for (const [code, push] of wrong) refuses(code as 'cannot_open', /./, () => openAs(w, push, { windows }))
    refuses('stale_message', /./, () => openAs(w, first, { windows, now: now + 8 * day }))
    expect(windows.gaps(w.alice.publicKey)).toEqual([])
    expect(openAs(w, first, { windows }).counter).toBe(0)
  })

  test('a dropped message shows as a gap once a later one arrives', () => {
    const windows = new ReplayWindows()
    const counters = new SendCounters()
    const [, second, third] = [0, 1, 2].map(() => pushOf(w, sealFrom(w, { counters }))) as [Envelope, Envelope, Envelope]
    openAs(w, third, { windows })
    expect(windows.gaps(w.alice.publicKey)).toEqual([0, 1])
    openAs(w, second, { windows })
    expect(windows.gaps(w.alice.publicKey)).toEqual([0])
  })
})

describe('plaintext_refused', () => {
  const plain = (): Envelope => ({ ...bare(), plain: 'trust me' })
  test('without a policy that allows it', () => {
    refuses('plaintext_refused', /policy/, () => openAs(w, plain()))
    refuses('plaintext_refused', /policy/, () => openAs(w, plain(), { allow: { plaintext: false } }))
  })
  test('beside a sealed text, even where allowed', () => {
    const sealed = pushOf(w, sealFrom(w, { shared: true }))
    refuses('plaintext_refused', /both/, () => openAs(w, { ...plain(), ciphertext: sealed.ciphertext }, { allow: { plaintext: true } }))
    refuses('plaintext_refused', /both/, () => openAs(w, { ...plain(), wrap: sealed.wrap }, { allow: { plaintext: true } }))
  })
  test('where allowed it is shown as unverified', () => {
    const opened = openAs(w, plain(), { allow: { plaintext: true } })
    expect(opened).toMatchObject({ verified: false, inner: { b: 'trust me', id: message.id } })
  })
  test('where allowed, an envelope of another mesh is still refused', () =>
    refuses('wrong_mesh', /./, () => openAs(w, { ...plain(), meshId: makeWorld(50).mesh }, { allow: { plaintext: true } })))
})

test('the order of checks: a replay of a stale message is called stale, not replayed', () => {
  const windows = new ReplayWindows()
  openAs(w, boxOf(), { windows })
  refuses('stale_message', /./, () => openAs(w, boxOf(), { windows, now: now + 8 * day }))
})
