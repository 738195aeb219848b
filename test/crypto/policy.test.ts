import { issueMember, issuePolicy, memberKey, ready, toB64u, tokenHash, verifyPolicy, type Epoch, type PolicyOptions } from '@claudemesh/crypto'
import { beforeAll, describe, expect, test } from 'vitest'
import { signToken } from '../../packages/crypto/src/token.ts'
import { makeWorld, now, refuses, seed, type World } from './world.ts'

let w: World
beforeAll(async () => {
  await ready()
  w = makeWorld()
})

const allow = { plaintext: false, legacyBox: false, memory: 'sealed', state: 'sealed', files: 'sealed' } as const
const none = { members: [], invites: [], sessions: [] }
/** Epochs 1 to 4 as a policy names them; what their keys are does not matter here. */
const epochs = (): [Epoch, Epoch, Epoch, Epoch] => {
  const back = { n: 'A'.repeat(32), c: 'A'.repeat(64) }
  const mk = (n: number) => toB64u(seed(n))
  const h = mk(9)
  return [
    { number: 1, mk: mk(1) },
    { number: 2, mk: mk(2), back },
    { number: 3, mk: mk(3), back: { ...back, h } },
    { number: 4, mk: mk(4), back: { ...back, h } },
  ]
}
type Issue = Parameters<typeof issuePolicy>[0]
const issue = (o: Partial<Issue> = {}) =>
  issuePolicy({ mesh: w.mesh, issuer: w.root, v: 1, iat: now, revoked: none, allow, brokers: ['wss://mesh.example.com'], ...o })
const next = (prev: string, v: number, o: Partial<Issue> = {}) => issue({ issuer: w.admin, cert: w.adminCert, v, prev, ...o })
const verify = (token: string, o: Partial<PolicyOptions> = {}) => verifyPolicy(token, { mesh: w.mesh, root: w.root.publicKey, ...o })

describe('accepted', () => {
  test('the root’s first policy', () => {
    expect(verify(issue())).toEqual({
      v: 1,
      iat: now,
      revoked: { ...none, kept: [] },
      allow,
      brokers: ['wss://mesh.example.com'],
      by: w.root.publicKey,
    })
  })

  test('an admin’s successor, which names the one before it', () => {
    const first = issue()
    const second = next(first, 2, { revoked: { ...none, members: [w.joiner.publicKey] }, allow: { ...allow, plaintext: true, memory: 'plain' } })
    const policy = verify(second, { prev: first })
    expect(policy).toMatchObject({ v: 2, prev: tokenHash(first), by: w.admin.publicKey, allow: { plaintext: true, memory: 'plain' } })
    expect(policy.revoked.members).toEqual([w.joiner.publicKey])
  })

  test('as pinned: the same token, the next one, and a later one', () => {
    const first = issue()
    const second = next(first, 2)
    const third = next(second, 3)
    for (const token of [first, second, third]) expect(() => verify(token, { pinned: first })).not.toThrow()
  })

  test('fields of later versions are ignored', () => {
    const token = signToken('policy', { m: w.mesh, v: 1, iat: now, revoked: none, allow, brokers: [], quorum: 3 }, w.root)
    expect(verify(token).v).toBe(1)
  })

  test('a removal with the next epoch, and any number of epochs later', () => {
    const [one, two, three] = epochs()
    const first = issue({ epoch: one })
    const second = next(first, 2, { epoch: two, revoked: { ...none, members: [w.joiner.publicKey] } })
    const third = next(second, 3, { epoch: two, allow: { ...allow, memory: 'plain' } })
    const fourth = next(third, 4, { epoch: three })
    expect(verify(first).epoch).toEqual(one)
    expect(verify(second, { prev: first }).epoch).toEqual(two)
    expect(() => [verify(third, { prev: second }), verify(fourth, { prev: third }), verify(fourth, { pinned: first })]).not.toThrow()
  })

  test('the first epoch of a mesh that had none', () => {
    const [one] = epochs()
    const before = issue()
    expect(verify(next(before, 2, { epoch: one }), { prev: before }).epoch).toEqual(one)
  })
})

describe('refused as bad_policy', () => {
  test('a root that is not the mesh’s', () => refuses('bad_policy', /root key/, () => verify(issue(), { root: makeWorld(50).root.publicKey })))
  test('one signed by an admin without its certificate', () => refuses('bad_policy', /signature/, () => verify(issue({ issuer: w.admin }))))
  test('one signed by a stranger with an admin’s certificate', () =>
    refuses('bad_policy', /signature/, () => verify(issue({ issuer: w.joiner, cert: w.adminCert }))))
  test('one with a certificate that the root did not sign', () => {
    const cert = issueMember({ mesh: w.mesh, subject: w.joiner, issuer: w.admin as never, role: 'admin', name: 'Mallory', iat: now })
    refuses('bad_policy', /signature/, () => verify(issue({ issuer: w.joiner, cert })))
  })
  test('one signed by a mere member', () => {
    const cert = issueMember({ mesh: w.mesh, subject: w.joiner, issuer: w.root, role: 'member', name: 'Alice', iat: now })
    refuses('bad_policy', /not an admin/, () => verify(issue({ issuer: w.joiner, cert })))
  })
  test('one whose signer’s certificate names an invite', () => {
    const cert = issueMember({ mesh: w.mesh, subject: w.joiner, issuer: w.root, role: 'admin', name: 'Alice', iat: now, via: w.invite.publicKey })
    refuses('bad_policy', /names an invite/, () => verify(issue({ issuer: w.joiner, cert })))
  })
  test('one of another mesh', () => refuses('bad_policy', /another mesh/, () => verify(issue({ mesh: makeWorld(50).mesh }))))
  test('one that is not a token', () => refuses('bad_policy', /parts/, () => verify('x')))
  test('a first one that names one before it', () => refuses('bad_policy', /only the first/, () => verify(issue({ prev: issue() }))))
  test('a later one that names none before it', () => refuses('bad_policy', /only the first/, () => verify(issue({ v: 2 }))))

  describe('against the one before it', () => {
    test('a version skipped', () => refuses('bad_policy', /does not follow/, () => verify(next(issue(), 3), { prev: issue() })))
    test('the same version again', () => refuses('bad_policy', /does not follow/, () => verify(issue(), { prev: issue() })))
    test('another predecessor', () => refuses('bad_policy', /does not name/, () => verify(next(issue({ iat: now + 1 }), 2), { prev: issue() })))
    test('a signer whom it revoked', () => {
      const before = issue({ revoked: { ...none, members: [w.admin.publicKey] } })
      refuses('bad_policy', /signer was revoked/, () => verify(next(before, 2), { prev: before }))
    })
  })

  describe('against the pinned one', () => {
    test('an older version', () => {
      const first = issue()
      refuses('bad_policy', /older/, () => verify(first, { pinned: next(first, 2) }))
    })
    test('another policy of the same version', () => refuses('bad_policy', /two policies/, () => verify(issue({ iat: now + 1 }), { pinned: issue() })))
    test('a next version with another predecessor', () =>
      refuses('bad_policy', /does not name/, () => verify(next(issue({ iat: now + 1 }), 2), { pinned: issue() })))
    test('a later version by a signer whom it revoked', () => {
      const pinned = issue({ revoked: { ...none, members: [w.admin.publicKey] } })
      refuses('bad_policy', /signer was revoked/, () => verify(next(issue(), 5), { pinned }))
    })
  })
})

describe('epochs refused as bad_policy', () => {
  const [one, two, three, four] = [0, 1, 2, 3] as const
  const at = (i: 0 | 1 | 2 | 3) => epochs()[i]
  const removed = { ...none, members: [] as string[] }

  test('a removal under the same key', () => {
    const first = issue({ epoch: at(one) })
    const revoked = { ...removed, members: [w.joiner.publicKey] }
    refuses('bad_policy', /keeps the mesh key/, () => verify(next(first, 2, { epoch: at(one), revoked }), { prev: first }))
    refuses('bad_policy', /keeps the mesh key/, () => verify(next(first, 3, { epoch: at(one), revoked }), { pinned: first }))
  })
  test('going back, or away', () => {
    const second = next(issue({ epoch: at(one) }), 2, { epoch: at(two) })
    refuses('bad_policy', /epoch 1 is older than epoch 2/, () => verify(next(second, 3, { epoch: at(one) }), { prev: second }))
    refuses('bad_policy', /epoch 0 is older than epoch 2/, () => verify(next(second, 3), { prev: second }))
    refuses('bad_policy', /epoch 1 is older/, () => verify(next(second, 5, { epoch: at(one) }), { pinned: second }))
  })
  test('two at once', () => {
    const second = next(issue({ epoch: at(one) }), 2, { epoch: at(one) })
    refuses('bad_policy', /too far/, () => verify(next(second, 3, { epoch: at(three) }), { prev: second }))
    refuses('bad_policy', /too far/, () => verify(next(second, 4, { epoch: at(four) }), { pinned: second }))
    refuses('bad_policy', /more epochs than versions/, () => verify(issue({ epoch: at(two) })))
  })
  test('another key or another way back for the same epoch', () => {
    const first = next(issue({ epoch: at(one) }), 2, { epoch: at(two) })
    const same = at(two)
    const other = { ...same, mk: w.root.publicKey }
    const turned = { ...same, back: { ...at(two).back, n: 'B'.repeat(32) } as never }
    refuses('bad_policy', /two keys for epoch 2/, () => verify(next(first, 3, { epoch: other }), { prev: first }))
    refuses('bad_policy', /two ways back from epoch 2/, () => verify(next(first, 3, { epoch: turned }), { prev: first }))
  })
})

test('a policy holds a thousand revocations, and one with more than fit is not made', () => {
  const revoking = (count: number) => issue({ revoked: { ...none, members: Array.from({ length: count }, (_, i) => memberKey(seed(i)).publicKey) } })
  expect(verify(revoking(1000)).revoked.members).toHaveLength(1000)
  refuses('too_large', /policy token is over 65536/, () => revoking(1100))
})
