import { fromB64u, PairKeys, ready, ReplayWindows, SendCounters, sessionKey, toB64u } from '@claudemesh/crypto'
import type { SessionPubkey } from '@claudemesh/protocol'
import * as fc from 'fast-check'
import { beforeAll, describe, expect, test } from 'vitest'
import { sodium } from '../../packages/crypto/src/sodium.ts'
import { makeWorld, refuses, seed, type World } from './world.ts'

let w: World
beforeAll(async () => {
  await ready()
  w = makeWorld()
})
const alice = () => w.alice.publicKey
const life = 2 ** 32
const bin = (text: string) => new Uint8Array(Buffer.from(text, 'hex'))
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')

describe('pair keys', () => {
  test('are the same at both ends and differ from pair to pair', () => {
    const [a, b] = [new PairKeys(w.alice), new PairKeys(w.bob)]
    expect(a.with(w.bob.publicKey).shared).toEqual(b.with(alice()).shared)
    expect(a.with(w.carol.publicKey).shared).not.toEqual(a.with(w.bob.publicKey).shared)
  })

  test('are computed once, wiped when forgotten, and computed again', () => {
    const keys = new PairKeys(w.alice)
    const first = keys.with(w.bob.publicKey)
    expect(keys.with(w.bob.publicKey)).toBe(first)
    const copy = first.shared.slice()
    keys.forget(w.bob.publicKey)
    expect(first.shared).toEqual(seed(0))
    expect(keys.with(w.bob.publicKey).shared).toEqual(copy)
    keys.forget(w.carol.publicKey)
  })

  test('are gone after wipe', () => {
    const keys = new PairKeys(w.alice)
    const pair = keys.with(w.bob.publicKey)
    const before = pair.shared.slice()
    keys.wipe()
    expect(pair.shared).toEqual(seed(0))
    expect(keys.with(w.bob.publicKey).shared).not.toEqual(before)
  })

  test('convert keys as libsodium’s own test of the conversion expects', () => {
    const published = sessionKey(bin('421151a459faeade3d247115f94aedae42318124095afabe4d1451a559faedee'))
    expect(hex(sodium.crypto_sign_ed25519_pk_to_curve25519(fromB64u(published.publicKey)))).toBe(
      'f1814f0e8ff1043d8a44d25babff3cedcae6c22c3edaa48f857ae70de2baae50',
    )
    expect(hex(sodium.crypto_sign_ed25519_sk_to_curve25519(published.secretKey))).toBe('8052030376d47112be7f73ed7a019293dd12ad910b654455798b4667d73de166')
  })

  test.each([
    ['zero', seed(0)],
    ['the neutral point', Uint8Array.of(1, ...seed(0, 31))],
    ['not a point', Uint8Array.of(2, ...seed(0, 31))],
    ['too short', seed(1, 31)],
  ])('a peer key that is %s is refused', (_what, key) =>
    refuses('bad_recipients', /not a session key/, () => new PairKeys(w.alice).with(toB64u(key) as SessionPubkey)),
  )
})

describe('send counters', () => {
  test('count per peer, from the incarnation’s first number', () => {
    const counters = new SendCounters(2)
    expect([counters.next(alice()), counters.next(alice()), counters.next(w.bob.publicKey)]).toEqual([2 * life, 2 * life + 1, 2 * life])
    expect([counters.peek(alice()), counters.peek(alice())]).toEqual([2 * life + 2, 2 * life + 2])
  })

  test('end where the next incarnation begins', () => {
    const counters = new SendCounters(1, life - 1)
    expect(counters.next(alice())).toBe(2 * life - 1)
    expect(() => counters.next(alice())).toThrow(RangeError)
  })

  test('refuse an incarnation that does not fit', () => {
    for (const wrong of [-1, 0.5, 2 ** 21, Number.NaN]) expect(() => new SendCounters(wrong)).toThrow(RangeError)
    expect(Number.isSafeInteger(new SendCounters(2 ** 21 - 1).next(alice()) + life - 1)).toBe(true)
  })
})

describe('replay windows', () => {
  const windows = (...accepted: number[]) => {
    const made = new ReplayWindows()
    for (const counter of accepted) made.accept(alice(), counter)
    return made
  }

  test('a counter is accepted once', () => refuses('replayed', /already/, () => windows(5).accept(alice(), 5)))
  test('checking does not use a counter up', () => {
    const made = windows(5)
    made.check(alice(), 6)
    expect(() => made.accept(alice(), 6)).not.toThrow()
  })
  test('late ones are accepted within the window, refused beyond it', () => {
    const made = windows(2000)
    made.accept(alice(), 2000 - 1023)
    refuses('replayed', /already/, () => made.accept(alice(), 2000 - 1023))
    refuses('replayed', /older than the replay window/, () => made.accept(alice(), 2000 - 1024))
  })
  test('senders do not disturb each other', () => expect(() => windows(5).accept(w.bob.publicKey, 5)).not.toThrow())
  test('a new life of the sender starts afresh; the old one is over', () => {
    const made = windows(0, 1, 2, life)
    expect(made.gaps(alice())).toEqual([])
    refuses('replayed', /earlier life/, () => made.accept(alice(), 3))
    refuses('replayed', /already/, () => made.accept(alice(), life))
    made.accept(alice(), life + 1)
  })
  test('a counter below a new life’s first is of the old one, however near', () => {
    const made = windows(life)
    refuses('replayed', /earlier life/, () => made.accept(alice(), life - 1))
  })

  test('missing counters are reported until they arrive', () => {
    const made = windows(1, 4)
    expect(made.gaps(alice())).toEqual([0, 2, 3])
    made.accept(alice(), 2)
    expect(made.gaps(alice())).toEqual([0, 3])
    expect(made.gaps(w.bob.publicKey)).toEqual([])
  })
  test('gaps are those of the present life and at most as many as the window holds', () => {
    expect(windows(0, 5, life + 2).gaps(alice())).toEqual([life, life + 1])
    expect(windows(0, 5000).gaps(alice())).toHaveLength(1023)
  })
  test('who took over a session does not report what came before', () => {
    const made = new ReplayWindows({ resumed: true })
    made.accept(alice(), 5)
    expect(made.gaps(alice())).toEqual([])
    made.accept(alice(), 7)
    expect(made.gaps(alice())).toEqual([6])
    made.accept(alice(), 3)
    refuses('replayed', /already/, () => made.accept(alice(), 3))
    made.accept(alice(), life + 1)
    expect(made.gaps(alice())).toEqual([life])
  })
  test('a forgotten sender starts again', () => {
    const made = windows(5)
    made.forget(alice())
    expect(() => made.accept(alice(), 5)).not.toThrow()
  })

  test('agree with a naive set over any order of arrival', () => {
    const steps = fc.array(fc.oneof(fc.nat(60), fc.nat(3000), fc.nat(100_000)), { maxLength: 200 })
    fc.assert(
      fc.property(steps, (counters) => {
        const made = new ReplayWindows()
        const seen = new Set<number>()
        let highest = -1
        for (const counter of counters) {
          const fresh = !seen.has(counter) && counter > highest - 1024
          let accepted = true
          try {
            made.accept(alice(), counter)
          } catch {
            accepted = false
          }
          expect(accepted).toBe(fresh)
          if (fresh) seen.add(counter)
          highest = Math.max(highest, accepted ? counter : -1)
        }
        const from = Math.max(0, highest - 1023)
        const missing = Array.from({ length: Math.max(0, highest - from) }, (_, i) => from + i).filter((n) => !seen.has(n))
        expect(made.gaps(alice())).toEqual(missing)
      }),
      { numRuns: 60 },
    )
  })
})
