import { ready, signCreate, signEnrol, signHello, toB64u, verifyCreate, verifyEnrol, verifyHello } from '@claudemesh/crypto'
import { beforeAll, describe, expect, test } from 'vitest'
import { makeWorld, now, refuses, seed, type World } from './world.ts'

let w: World
let other: World
beforeAll(async () => {
  await ready()
  w = makeWorld()
  other = makeWorld(50)
})

const greetingOf = (of: World) => ({ mesh: of.mesh, aud: 'wss://mesh.example.com', nonce: toB64u(seed(1)), clientNonce: toB64u(seed(2, 16)), timestamp: now })

const changes = [
  ['another mesh', () => ({ mesh: other.mesh })],
  ['another broker address', () => ({ aud: 'wss://evil.example.com' })],
  ['another nonce', () => ({ nonce: toB64u(seed(9)) })],
  ['another client nonce', () => ({ clientNonce: toB64u(seed(9, 16)) })],
  ['another time', () => ({ timestamp: now + 1 })],
] as const

describe('hello', () => {
  const make = () => ({
    ...greetingOf(w),
    member: w.joiner.publicKey,
    session: w.alice.publicKey,
    ...signHello({ ...greetingOf(w), member: w.joiner, session: w.alice }),
  })

  test('is accepted by who knows the same nonce, address, mesh and keys', () => expect(() => verifyHello(make())).not.toThrow())

  test.each(changes)('is refused for %s', (_what, change) => refuses('unauthorized', /./, () => verifyHello({ ...make(), ...change() })))

  test.each([
    ['a member who did not sign', () => ({ member: other.joiner.publicKey })],
    ['a session key its sender does not hold', () => ({ proof: signHello({ ...greetingOf(w), member: w.joiner, session: other.alice }).proof })],
    ['a signature by another member', () => ({ signature: signHello({ ...greetingOf(w), member: other.joiner, session: w.alice }).signature })],
    ['another session than was signed', () => ({ session: other.alice.publicKey })],
    ['the proof in place of the signature', () => ({ signature: make().proof })],
    ['a signature cut short', () => ({ signature: make().signature.slice(0, -4) })],
    ['a proof that is not base64url', () => ({ proof: '!'.repeat(86) })],
    ['an enrolment’s proof', () => ({ signature: signEnrol({ ...greetingOf(w), member: w.joiner }) })],
  ])('is refused for %s', (_what, change) => refuses('unauthorized', /./, () => verifyHello({ ...make(), ...change() })))
})

describe('enrolment', () => {
  const make = () => ({ ...greetingOf(w), member: w.joiner.publicKey, proof: signEnrol({ ...greetingOf(w), member: w.joiner }) })

  test('is accepted', () => expect(() => verifyEnrol(make())).not.toThrow())
  test.each(changes)('is refused for %s', (_what, change) => refuses('unauthorized', /./, () => verifyEnrol({ ...make(), ...change() })))
  test('is refused for another member', () => refuses('unauthorized', /./, () => verifyEnrol({ ...make(), member: other.joiner.publicKey })))
  test('is refused with a hello’s signature', () => {
    const { signature } = signHello({ ...greetingOf(w), member: w.joiner, session: w.alice })
    refuses('unauthorized', /./, () => verifyEnrol({ ...make(), proof: signature }))
  })
})

describe('creation', () => {
  const make = () => ({ ...greetingOf(w), root: w.root.publicKey, proof: signCreate({ ...greetingOf(w), root: w.root }) })

  test('is accepted', () => expect(() => verifyCreate(make())).not.toThrow())
  test.each(changes)('is refused for %s', (_what, change) => refuses('unauthorized', /./, () => verifyCreate({ ...make(), ...change() })))
  test('is refused for another root', () => refuses('unauthorized', /./, () => verifyCreate({ ...make(), root: other.root.publicKey })))
})
