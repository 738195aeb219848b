import {
  fromB64u,
  PairKeys,
  parseInviteLink,
  ready,
  ReplayWindows,
  toB64u,
  verifyChain,
  verifyHello,
  verifyPolicy,
  verifyPresence,
  type Envelope,
} from '@claudemesh/crypto'
import { MeshError, type ErrorCode } from '@claudemesh/protocol'
import * as fc from 'fast-check'
import { beforeAll, describe, expect, test } from 'vitest'
import { makeWorld, message, now, openAs, pushOf, sealFrom, type World } from './world.ts'

let w: World
beforeAll(async () => {
  await ready()
  w = makeWorld()
})

/** The name under which something is refused; fails when it is not, or with anything but a MeshError. */
function refusal(act: () => unknown): ErrorCode {
  try {
    act()
  } catch (error) {
    expect(error).toBeInstanceOf(MeshError)
    return (error as MeshError).code
  }
  throw new Error('it was accepted')
}

const flipBit = (text: string, bit: number): string => {
  const bytes = fromB64u(text)
  const at = bit % (bytes.length * 8)
  bytes[at >> 3]! ^= 1 << (at & 7)
  return toB64u(bytes)
}

describe('any single bit of a frame', () => {
  const binary = { nonce: ['cannot_open'], ciphertext: ['cannot_open', 'body_swapped'], wrap: ['cannot_open'] } as const
  const bound = { id: ['mismatched_envelope'], senderPubkey: ['unknown_sender'] } as const

  test.each([
    ['box', false, ['nonce', 'ciphertext', 'id', 'senderPubkey']],
    ['shared body', true, ['nonce', 'ciphertext', 'wrap', 'id', 'senderPubkey']],
  ] as const)('of a %s: a named refusal, never another text', (_form, shared, fields) => {
    const push = pushOf(w, sealFrom(w, { shared }))
    const windows = new ReplayWindows()
    const keys = new PairKeys(w.bob)
    fc.assert(
      fc.property(fc.constantFrom(...fields), fc.nat(), (field, bit) => {
        const changed = { ...push, [field]: flipBit(push[field] ?? '', bit) } as Envelope
        expect({ ...binary, ...bound }[field]).toContain(refusal(() => openAs(w, changed, { windows, keys })))
      }),
      { numRuns: 400 },
    )
    // Every bit of the smallest fields, and nothing of it all used the counter up.
    for (const field of ['nonce', 'id'] as const)
      for (let bit = 0; bit < 128; bit++) refusal(() => openAs(w, { ...push, [field]: flipBit(push[field], bit) }, { windows, keys }))
    expect(openAs(w, push, { windows }).inner).toEqual(message)
  })

  test('and any other text in any field', () => {
    const push = pushOf(w, sealFrom(w, { shared: true }))
    fc.assert(
      fc.property(
        fc.constantFrom('nonce', 'ciphertext', 'wrap', 'id', 'senderPubkey', 'meshId', 'priority', 'plain'),
        fc.string({ unit: 'binary' }),
        (field, text) => {
          fc.pre(push[field as keyof Envelope] !== text)
          refusal(() => openAs(w, { ...push, [field]: text }))
        },
      ),
    )
  })
})

describe('chains', () => {
  const full = () => [w.adminCert, w.inviteCert, w.memberCert, w.sessionCert]
  const verify = (tokens: string[]) => verifyChain(tokens, { ...w.trust, ends: 'session' })

  test('any bit of any certificate', () => {
    fc.assert(
      fc.property(fc.nat(3), fc.nat(2), fc.nat(), (which, part, bit) => {
        const tokens = full()
        const parts = (tokens[which] ?? '').split('.')
        const at = part % parts.length
        parts[at] = flipBit(parts[at] ?? '', bit)
        tokens[which] = parts.join('.')
        expect(refusal(() => verify(tokens))).toBe('bad_token')
      }),
      { numRuns: 300 },
    )
  })

  test('any change of their JSON under the old signature', () => {
    fc.assert(
      fc.property(fc.nat(3), fc.nat(), fc.jsonValue(), (which, field, value) => {
        const tokens = full()
        const [payload = '', ...signatures] = (tokens[which] ?? '').split('.')
        const json = JSON.parse(Buffer.from(payload, 'base64url').toString()) as Record<string, unknown>
        const keys = Object.keys(json)
        const key = keys[field % keys.length] ?? ''
        fc.pre(JSON.stringify(json[key]) !== JSON.stringify(value))
        tokens[which] = [toB64u(new TextEncoder().encode(JSON.stringify({ ...json, [key]: value }))), ...signatures].join('.')
        expect(refusal(() => verify(tokens))).toBe('bad_token')
      }),
      { numRuns: 200 },
    )
  })

  test('any order, repetition or omission of certificates but the right one', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(3), { maxLength: 5 }), (order) => {
        fc.pre(order.join() !== '0,1,2,3')
        expect(['bad_chain', 'bad_token']).toContain(refusal(() => verify(order.map((i) => full()[i] ?? ''))))
      }),
      { numRuns: 300 },
    )
  })
})

describe('whatever text comes, what reads it throws nothing but MeshError', () => {
  const part = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.base64String(),
    fc.json().map((json) => Buffer.from(json).toString('base64url')),
  )
  const tokenish = fc.array(part, { maxLength: 4 }).map((parts) => parts.join('.'))
  const linkish = fc.tuple(fc.string({ unit: 'binary' }), part).map(([host, secret]) => `cm1:${host}#${secret}`)

  test.each([
    ['base64url', (text: string) => fromB64u(text, 5)],
    ['an invite link', (text: string) => parseInviteLink(text)],
    ['a chain', (text: string) => verifyChain([text, text], { ...w.trust, ends: 'session' })],
    ['a presence', (text: string) => verifyPresence(text, { mesh: w.mesh, session: w.alice.publicKey })],
    ['a policy', (text: string) => verifyPolicy(text, { mesh: w.mesh, root: w.root.publicKey })],
    ['a pinned policy', (text: string) => verifyPolicy(text, { mesh: w.mesh, root: w.root.publicKey, pinned: text.slice(1), prev: text.slice(2) })],
    [
      'a hello',
      (text: string) =>
        verifyHello({
          mesh: w.mesh,
          aud: text,
          nonce: text,
          clientNonce: text,
          timestamp: now,
          member: w.joiner.publicKey,
          session: w.alice.publicKey,
          signature: text,
          proof: text,
        }),
    ],
  ] as const)('%s', (_what, read) => {
    fc.assert(
      fc.property(fc.oneof(tokenish, linkish, fc.string({ unit: 'binary' })), (text) => {
        let accepted = false
        try {
          read(text)
          accepted = true
        } catch (error) {
          expect(error).toBeInstanceOf(MeshError)
        }
        // Only base64url of the right length can be right by chance.
        if (accepted) expect(text).toMatch(/^[\w-]{7}$/)
      }),
      { numRuns: 200 },
    )
  })
})
