import { Mesh, type PolicyPin } from '@claudemesh/client'
import { issuePolicy, memberKey } from '@claudemesh/crypto'
import { nodeRandom } from '@claudemesh/client/node'
import { expect, test } from 'vitest'
import { EvilBroker } from '../harness/evil.ts'
import { change, next, seen } from '../harness/events.ts'
import { testMesh, type TestMesh } from '../harness/mesh.ts'

const refusal = (code: string, message?: string) =>
  expect.objectContaining({ code, ...(message === undefined ? {} : { message: expect.stringContaining(message) }) })

const founderOf = (mesh: TestMesh) => mesh.peer('Founder', { identity: mesh.founder })

/** A pin as an app keeps it. */
function pin(): PolicyPin & { token: string | undefined } {
  const kept: PolicyPin & { token: string | undefined } = { token: undefined, load: () => kept.token, save: (token) => (kept.token = token) }
  return kept
}

test('a removed member is dropped at once, by the broker and by every peer', async () => {
  await using mesh = await testMesh()
  const founder = await founderOf(mesh)
  const alice = await mesh.peer('Alice')
  const eve = await mesh.peer('Eve')
  await eve.send({ to: 'Alice', message: 'still a member' })
  await next(alice, 'message')

  await founder.amend({ revoke: { members: [eve.identity.member.publicKey] } })
  expect(await next(eve, 'connection', ({ phase }) => phase === 'closed')).toMatchObject({ reason: { code: 'revoked' } })
  while (alice.peers().some((peer) => peer.name === 'Eve')) await change(alice, 'peer')
  await expect(alice.send({ to: 'Eve', message: 'x' })).rejects.toThrow(refusal('unknown_target'))
  await expect(Mesh.connect(await mesh.options('Eve', { identity: eve.identity }))).rejects.toThrow(refusal('revoked'))
  expect(alice.policy?.v).toBe(2)
})

test('a mesh that removed a thousand members works on; the revocation that finds no more room changes nothing and says so', async () => {
  await using mesh = await testMesh()
  const founder = await founderOf(mesh)
  const alice = await mesh.peer('Alice')
  const gone = (count: number) => Array.from({ length: count }, () => memberKey(nodeRandom(32)).publicKey)
  await founder.amend({ revoke: { members: gone(1000) } })
  const bob = await mesh.peer('Bob')
  await bob.send({ to: 'Alice', message: 'I joined later' })
  expect(await next(alice, 'message')).toMatchObject({ text: 'I joined later' })
  expect(bob.policy?.revoked.members).toHaveLength(1000)

  await expect(founder.amend({ revoke: { members: gone(100) } })).rejects.toThrow(refusal('too_large', 'no room for 1100 revoked keys'))
  expect(founder.policy?.v).toBe(2)
})

test('only an admin can change the policy', async () => {
  await using mesh = await testMesh()
  const alice = await mesh.peer('Alice')
  await expect(alice.amend({ revoke: { members: [memberKey(nodeRandom(32)).publicKey] } })).rejects.toThrow(refusal('bad_policy', 'only an admin'))
})

test('what two admins change at the same time is both in force', async () => {
  await using mesh = await testMesh()
  const one = await founderOf(mesh)
  const two = await mesh.peer('Two', { identity: mesh.founder })
  const keys = [memberKey(nodeRandom(32)).publicKey, memberKey(nodeRandom(32)).publicKey] as const
  await Promise.all([one.amend({ revoke: { members: [keys[0]] } }), two.amend({ revoke: { members: [keys[1]] } })])
  await mesh.settle()
  expect(one.policy?.v).toBe(3)
  expect(two.policy).toEqual(one.policy)
})

test('a policy older than the pinned one is refused, and a different one of the same version', async () => {
  await using mesh = await testMesh()
  await using evil = await EvilBroker.before(mesh.url)
  const founder = await founderOf(mesh)
  const kept = pin()
  const first = founder.policy?.token
  await founder.amend({ revoke: { members: [memberKey(nodeRandom(32)).publicKey] } })
  const options = { ...(await mesh.options('Alice')), policyPin: kept, dial: evil.dial }
  await (await Mesh.connect(options)).close()
  expect(kept.token).toBe(founder.policy?.token)

  evil.tamper = (frame) => [frame.type === 'hello_ack' ? { ...frame, policy: first } : frame]
  await expect(Mesh.connect(options)).rejects.toThrow(refusal('bad_policy', 'older'))

  const allow = { plaintext: true, legacyBox: false, memory: 'sealed', state: 'sealed', files: 'sealed' } as const
  const revoked = { members: [], invites: [], sessions: [] }
  const fork = issuePolicy({ mesh: mesh.founder.mesh, issuer: mesh.founder.rootKey, v: 2, prev: first, iat: mesh.clock.now(), revoked, allow, brokers: [] })
  evil.tamper = (frame) => [frame.type === 'hello_ack' ? { ...frame, policy: fork } : frame]
  await expect(Mesh.connect(options)).rejects.toThrow(refusal('bad_policy'))
  expect(kept.token).toBe(founder.policy?.token)
})

test('a forged policy changes nothing', async () => {
  await using mesh = await testMesh()
  await using evil = await EvilBroker.before(mesh.url)
  const bob = await mesh.peer('Bob', { dial: evil.dial })
  const alice = await mesh.peer('Alice')
  const allow = { plaintext: true, legacyBox: true, memory: 'plain', state: 'plain', files: 'plain' } as const
  const revoked = { members: [alice.identity.member.publicKey], invites: [], sessions: [] }
  const forged = issuePolicy({
    mesh: mesh.founder.mesh,
    issuer: alice.identity.member,
    v: 2,
    prev: alice.policy?.token,
    iat: mesh.clock.now(),
    revoked,
    allow,
    brokers: [],
  })
  evil.say({ type: 'policy_changed', policy: forged })
  await mesh.settle()
  expect(bob.policy).toEqual(alice.policy)
  expect(bob.peers().map((peer) => peer.name)).toEqual(['Alice'])
})

test('a peer that knows a newer policy makes the others ask for it', async () => {
  await using mesh = await testMesh()
  await using evil = await EvilBroker.before(mesh.url)
  const founder = await founderOf(mesh)
  const bob = await mesh.peer('Bob', { dial: evil.dial })
  // The broker hides the change from Bob.
  evil.tamper = (frame) => (frame.type === 'policy_changed' ? [] : [frame])
  await founder.amend({ revoke: { members: [memberKey(nodeRandom(32)).publicKey] } })
  await mesh.settle()
  expect(bob.policy?.v).toBe(1)
  await founder.send({ to: 'Bob', message: 'hello' })
  expect(await next(bob, 'policy')).toEqual({ v: 2 })
})

test('plaintext is shown where the signed policy allows it, as from nobody', async () => {
  await using mesh = await testMesh()
  await using evil = await EvilBroker.before(mesh.url)
  const founder = await founderOf(mesh)
  const bob = await mesh.peer('Bob', { dial: evil.dial })
  await founder.amend({ allow: { plaintext: true } })
  await mesh.settle()
  await next(bob, 'policy')
  evil.tamper = (frame) => [frame.type === 'push' ? { ...frame, ciphertext: undefined, wrap: undefined, plain: 'psst' } : frame]
  await founder.send({ to: 'Bob', message: 'sealed' })
  const message = await next(bob, 'message')
  expect(message).toMatchObject({ text: 'psst', verified: false, from: { name: 'unverified' } })
  expect(message.from).not.toHaveProperty('member')
  expect(seen(bob, 'refused')).toEqual([])
})
