import { fromB64u, PairKeys, ready, ReplayWindows, SendCounters, toB64u, webRandom } from '@claudemesh/crypto'
import { limits, type SessionPubkey } from '@claudemesh/protocol'
import { beforeAll, describe, expect, test } from 'vitest'
import { makeWorld, message, openAs, pushOf, refuses, sealFrom, seed, type World } from './world.ts'

let w: World
beforeAll(async () => {
  await ready()
  w = makeWorld()
})

const bob = () => w.bob.publicKey
const carol = () => w.carol.publicKey
const keysIn = (to: string) => Array.from({ length: fromB64u(to).length / 32 }, (_, i) => toB64u(fromB64u(to).subarray(i * 32, i * 32 + 32)))

describe('one recipient', () => {
  test('gets the message in a box of its own', () => {
    const sealed = sealFrom(w)
    expect(sealed.to).toBe(bob())
    expect(sealed.wraps).toBeUndefined()
    expect(openAs(w, pushOf(w, sealed))).toEqual({ verified: true, inner: message, counter: 0 })
  })

  test('gets a shared body where more may follow', () => {
    const sealed = sealFrom(w, { shared: true })
    expect(fromB64u(sealed.wraps ?? '', 88)).toHaveLength(88)
    expect(openAs(w, pushOf(w, sealed)).inner).toEqual(message)
  })

  test('all fields of a message arrive', () => {
    const rich = { ...message, re: toB64u(seed(9, 16)), hops: 3, pv: [7, 'abcdefgh'] as const, b: '"\\\n\u0000🙂' }
    for (const shared of [false, true]) expect(openAs(w, pushOf(w, sealFrom(w, { message: rich, shared }))).inner).toEqual(rich)
  })
})

describe('several recipients', () => {
  test('each opens the shared body with its own wrap', () => {
    const sealed = sealFrom(w, { recipients: [bob(), carol()] })
    expect(keysIn(sealed.to)).toEqual([bob(), carol()])
    expect(openAs(w, pushOf(w, sealed, 0)).inner).toEqual(message)
    expect(openAs(w, pushOf(w, sealed, 1), { as: w.carol }).inner).toEqual(message)
  })

  test('nothing of the text is visible, and its length only roughly', () => {
    const lengths = ['', 'a', 'a'.repeat(40)].map((b) => sealFrom(w, { recipients: [bob(), carol()], message: { ...message, b } }).ciphertext.length)
    expect(new Set(lengths).size).toBe(1)
  })

  test('a late recipient opens the same body with a topped-up wrap', () => {
    const sealed = sealFrom(w, { recipients: [bob()], shared: true })
    const more = sealed.topUp([carol()])
    expect(more.to).toBe(carol())
    expect(openAs(w, { ...pushOf(w, sealed), wrap: more.wraps }, { as: w.carol }).inner).toEqual(message)
  })

  test('each pair has its own counters, across both forms and top-ups', () => {
    const counters = new SendCounters()
    const windows = new ReplayWindows()
    const send = (o: object) => sealFrom(w, { counters, ...o })
    const first = send({})
    const second = send({ recipients: [carol(), bob()] })
    const third = send({ recipients: [carol()], shared: true })
    const topped = third.topUp([bob()])
    const pushes = [pushOf(w, first), pushOf(w, second, 1), { ...pushOf(w, third), wrap: topped.wraps }]
    expect(pushes.map((push) => openAs(w, push, { windows }).counter)).toEqual([0, 1, 2])
    expect(openAs(w, pushOf(w, second, 0), { as: w.carol }).counter).toBe(0)
  })
})

describe('refused', () => {
  test('nobody to send to', () => refuses('no_recipients', /./, () => sealFrom(w, { recipients: [] })))
  test('more than 2048', () => {
    const recipients = Array.from({ length: limits.recipients + 1 }, (_, i) => `${i}` as SessionPubkey)
    refuses('too_many_recipients', /2048/, () => sealFrom(w, { recipients }))
    refuses('bad_recipients', /not a session key/, () => sealFrom(w, { recipients: recipients.slice(1) }))
  })
  test('one named twice', () => refuses('bad_recipients', /twice/, () => sealFrom(w, { recipients: [bob(), carol(), bob()] })))
  test('the sender itself', () => {
    refuses('bad_recipients', /sender/, () => sealFrom(w, { recipients: [bob(), w.alice.publicKey] }))
    refuses('bad_recipients', /sender/, () => sealFrom(w, { recipients: [w.alice.publicKey] }))
  })
  test('a key that is none', () => refuses('bad_recipients', /not a session key/, () => sealFrom(w, { recipients: [bob(), toB64u(seed(0)) as SessionPubkey] })))
  test('a text over 64 KiB', () => {
    for (const shared of [false, true]) {
      expect(openAs(w, pushOf(w, sealFrom(w, { shared, message: { ...message, b: 'é'.repeat(32_768) } }))).inner.b).toHaveLength(32_768)
      refuses('too_large', /over 65536 bytes/, () => sealFrom(w, { shared, message: { ...message, b: 'é'.repeat(32_769) } }))
    }
  })
  test('a text that grows too much in JSON', () => {
    for (const shared of [false, true]) refuses('too_large', /once encoded/, () => sealFrom(w, { shared, message: { ...message, b: '\u0001'.repeat(20_000) } }))
  })
  test('a random source that gives too little', () => {
    for (const shared of [false, true]) expect(() => sealFrom(w, { shared, random: (n) => seed(1, n - 1) })).toThrow(RangeError)
  })
  test('a top-up of a box', () => refuses('top_up_closed', /one recipient alone/, () => sealFrom(w).topUp([carol()])))
  test('a top-up after wipe', () => {
    const sealed = sealFrom(w, { shared: true })
    sealed.wipe()
    sealed.wipe()
    refuses('top_up_closed', /./, () => sealed.topUp([carol()]))
  })
  test('a top-up for one who has a wrap: it would use a nonce twice', () => {
    const sealed = sealFrom(w, { shared: true })
    refuses('bad_recipients', /already/, () => sealed.topUp([carol(), bob()]))
    sealed.topUp([carol()])
    refuses('bad_recipients', /already/, () => sealed.topUp([carol()]))
  })
  test('a top-up with one named twice, or with the sender', () => {
    const sealed = sealFrom(w, { shared: true })
    refuses('bad_recipients', /twice/, () => sealed.topUp([carol(), carol()]))
    refuses('bad_recipients', /sender/, () => sealed.topUp([w.alice.publicKey]))
  })

  test('and a refused send leaves no gap', () => {
    const counters = new SendCounters()
    const keys = new PairKeys(w.alice)
    const tooBig = { ...message, b: '\u0001'.repeat(20_000) }
    for (const shared of [false, true]) {
      expect(() => sealFrom(w, { counters, keys, shared, message: tooBig })).toThrow('once encoded')
      expect(() => sealFrom(w, { counters, keys, shared, recipients: [bob(), toB64u(seed(0)) as SessionPubkey] })).toThrow('not a session key')
    }
    expect(counters.peek(bob())).toBe(0)
  })
})

test('a content key is destroyed by wipe', () => {
  const made: Uint8Array[] = []
  const random = (n: number) => {
    made.push(webRandom(n))
    return made.at(-1) as Uint8Array
  }
  const sealed = sealFrom(w, { shared: true, random })
  expect(made[0]).not.toEqual(seed(0))
  sealed.wipe()
  expect(made[0]).toEqual(seed(0))
  sealFrom(w).wipe()
})

test('no nonce repeats in 10 000 messages', () => {
  const keys = new PairKeys(w.alice)
  const counters = new SendCounters()
  const nonces = Array.from({ length: 10_000 }, () => sealFrom(w, { keys, counters }).nonce)
  expect(new Set(nonces).size).toBe(nonces.length)
})
