import { createServer } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { createMesh, enrol, Mesh } from '@claudemesh/client'
import { nodeDial, nodeRandom } from '@claudemesh/client/node'
import { formatInviteLink, inviteKey, issueInvite, issuePolicy, memberKey, parseInviteLink, rootKey, type RootKey } from '@claudemesh/crypto'
import { expect, test } from 'vitest'
import { EvilBroker, type Frame } from '../harness/evil.ts'
import { next } from '../harness/events.ts'
import { newSession, testMesh, type TestMesh } from '../harness/mesh.ts'
import { verifies } from '../harness/verifies.ts'

const founderOf = (mesh: TestMesh) => mesh.peer('Founder', { identity: mesh.founder })

const join = (mesh: TestMesh, link: string, name = 'Newcomer') => enrol({ link, name, clock: mesh.clock, dial: nodeDial, random: nodeRandom })

const refusal = (code: string, message?: string) =>
  expect.objectContaining({ code, ...(message === undefined ? {} : { message: expect.stringContaining(message) }) })

test('whoever has an invite link becomes a member that the others believe', async () => {
  verifies('identity.member-made-by-join', 'identity.member-authorizes')
  await using mesh = await testMesh()
  const founder = await founderOf(mesh)
  const { link, max, role } = await founder.invites.create()
  expect({ max, role }).toEqual({ max: 1, role: 'member' })

  const identity = await join(mesh, `claudemesh join ${link}`, 'Alice')
  expect(identity).toMatchObject({ mesh: mesh.founder.mesh, root: mesh.founder.root, slug: 'dev-team', url: mesh.url })
  const alice = await mesh.peer('Alice', { identity })
  await alice.send({ to: 'Founder', message: 'I am in' })
  expect(await next(founder, 'message')).toMatchObject({ text: 'I am in', from: { name: 'Alice', member: { name: 'Alice' } } })
  expect(await founder.invites.list()).toContainEqual(expect.objectContaining({ max: 1, used: 1, role: 'member', revoked: false }))
})

test('a member key enrols again as the same member', async () => {
  await using mesh = await testMesh()
  const member = memberKey(nodeRandom(32))
  const enrolled = [1, 2].map(() => enrol({ link: mesh.link, name: 'Alice', member, clock: mesh.clock, dial: nodeDial }))
  const [one, two] = await Promise.all(enrolled)
  const first = await mesh.peer('One', { identity: one! })
  const second = await mesh.peer('Two', { identity: two! })
  expect(first.me.memberId).toBe(second.me.memberId)
})

test('an invite for one is used up by one, also when two come at once', async () => {
  await using mesh = await testMesh()
  const founder = await founderOf(mesh)
  const { link } = await founder.invites.create({ max: 1 })
  const outcomes = await Promise.allSettled([join(mesh, link), join(mesh, link)])
  expect(outcomes.map((outcome) => outcome.status).sort((a, b) => a.localeCompare(b))).toEqual(['fulfilled', 'rejected'])
  await expect(join(mesh, link)).rejects.toThrow(refusal('invite_used', 'ask for a new one'))
})

test('an expired invite is refused before anything is signed', async () => {
  await using mesh = await testMesh()
  const founder = await founderOf(mesh)
  const { link } = await founder.invites.create({ expiresMs: 60_000 })
  mesh.clock.advance(61_000)
  await expect(join(mesh, link)).rejects.toThrow(refusal('invite_expired'))
})

test('a revoked invite is refused, and listed as revoked', async () => {
  await using mesh = await testMesh()
  const founder = await founderOf(mesh)
  const { link, key } = await founder.invites.create()
  await founder.amend({ revoke: { invites: [key] } })
  await expect(join(mesh, link)).rejects.toThrow()
  expect(await founder.invites.list()).toContainEqual(expect.objectContaining({ key, revoked: true }))
})

test('only an admin can invite, and only the root can invite admins', async () => {
  await using mesh = await testMesh()
  const alice = await mesh.peer('Alice')
  const founder = await founderOf(mesh)
  await expect(alice.invites.create()).rejects.toThrow(refusal('bad_chain', 'only an admin of dev-team can invite'))
  await expect(founder.invites.create({ role: 'admin' })).rejects.toThrow(refusal('bad_chain', 'root key'))
  const { link } = await founder.invites.create({ role: 'admin', rootKey: mesh.founder.rootKey })
  await mesh.peer('Second', { identity: await join(mesh, link, 'Second') })
  expect(founder.peers().find((peer) => peer.name === 'Second')?.member.role).toBe('admin')
})

test('an invite that the broker never got is not known', async () => {
  await using mesh = await testMesh()
  const link = formatInviteLink(`127.0.0.1:${mesh.broker.port}`, mesh.founder.root, nodeRandom(16))
  await expect(join(mesh, link)).rejects.toThrow(refusal('not_found', 'Ask for a new one'))
})

test('a link to nowhere says that the broker cannot be reached', async () => {
  await using mesh = await testMesh()
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  await expect(join(mesh, formatInviteLink(`127.0.0.1:${port}`, mesh.founder.root, nodeRandom(16)))).rejects.toThrow(
    refusal('unavailable', `127.0.0.1:${port}`),
  )
  await expect(createMesh({ url: `ws://127.0.0.1:${port}/ws`, slug: 'x', name: 'X', clock: mesh.clock, dial: nodeDial })).rejects.toThrow(
    refusal('unavailable'),
  )
})

/** A broker's HTTP side that answers every invite with what the test says. */
async function lying(answer: (path: string) => { status?: number; body: unknown }) {
  const paths: string[] = []
  const server = createServer((request, response) => {
    paths.push(`${request.url} ${JSON.stringify(request.headers)}`)
    const { status = 200, body } = answer(request.url ?? '')
    response.writeHead(status, { 'content-type': 'application/json' }).end(typeof body === 'string' ? body : JSON.stringify(body))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const stop = async () => {
    server.close()
    server.closeAllConnections()
    await once(server, 'close')
  }
  return { host: `127.0.0.1:${(server.address() as AddressInfo).port}`, paths, [Symbol.asyncDispose]: stop }
}

test('a broker that answers with another invite, a forged one or nonsense is not believed', async () => {
  await using mesh = await testMesh()
  const { founder, clock } = mesh
  const now = clock.now()
  const seed = nodeRandom(16)
  const mine = inviteKey(founder.root, seed)
  const issue = (invite: string, issuer: RootKey) =>
    issueInvite({ mesh: founder.mesh, invite: invite as typeof mine.publicKey, issuer, role: 'admin', max: 1, iat: now, exp: now + 1000 })
  const { policy } = founder
  const forged = policy.replace(/.$/, (c) => (c === 'A' ? 'B' : 'A'))
  const cases: [unknown, string, number?][] = [
    [{ chain: [issue(inviteKey(founder.root, nodeRandom(16)).publicKey, founder.rootKey)], slug: 'x', policy }, 'bad_chain'],
    [{ chain: [issue(mine.publicKey, rootKey(nodeRandom(32)))], slug: 'x', policy }, 'bad_token'],
    [{ chain: [], slug: 'x', policy }, 'bad_frame'],
    [{ chain: 'x', slug: 'x', policy }, 'bad_frame'],
    [{ chain: [issue(mine.publicKey, founder.rootKey)], slug: 'x', policy: forged }, 'bad_policy'],
    ['<html>', 'bad_frame'],
    [{ code: 'rate_limited', message: 'later' }, 'rate_limited', 429],
    ['<html>', 'internal', 500],
  ]
  for (const [body, code, status = 200] of cases) {
    await using broker = await lying(() => ({ status, body }))
    const link = formatInviteLink(broker.host, founder.root, seed)
    await expect(join(mesh, link)).rejects.toThrow(refusal(code))
    // The secret of the link stays here.
    expect(broker.paths.join('\n')).toContain(mine.publicKey)
    expect(broker.paths.join('\n')).not.toContain(link.split('#')[1])
  }
})

test('a broker that answers the enrolment with a policy of its own is not believed', async () => {
  await using mesh = await testMesh()
  await using evil = await EvilBroker.before(mesh.url)
  const stranger = rootKey(nodeRandom(32))
  const allow = { plaintext: true, legacyBox: true, memory: 'plain', state: 'plain', files: 'plain' } as const
  const revoked = { members: [], invites: [], sessions: [] }
  const policy = issuePolicy({ mesh: mesh.founder.mesh, issuer: stranger, v: 1, iat: mesh.clock.now(), revoked, allow, brokers: [] })
  evil.tamper = (frame) => [frame.type === 'enrolled' ? { ...frame, policy } : frame]
  await expect(enrol({ link: mesh.link, name: 'Alice', clock: mesh.clock, dial: evil.dial })).rejects.toThrow(refusal('bad_policy'))
})

test('invites that the broker lists under other keys are not believed', async () => {
  await using mesh = await testMesh()
  await using evil = await EvilBroker.before(mesh.url)
  const founder = await mesh.peer('Founder', { identity: mesh.founder, dial: evil.dial })
  const { key } = await founder.invites.create()
  evil.tamper = (frame) => {
    const invites = frame['invites'] as Frame[] | undefined
    return [frame.type === 'invites' ? { ...frame, invites: invites?.map((invite) => ({ ...invite, invitePubkey: key })) } : frame]
  }
  await expect(founder.invites.list()).rejects.toThrow(refusal('bad_chain', 'another key'))
})

test('a damaged link or an impossible name is refused at once', async () => {
  await using mesh = await testMesh()
  await expect(join(mesh, mesh.link.slice(0, -3))).rejects.toThrow(refusal('bad_invite_link', 'copy it again'))
  await expect(join(mesh, mesh.link, 'system')).rejects.toThrow(refusal('bad_name'))
  expect(parseInviteLink(mesh.link).mesh).toBe(mesh.founder.mesh)
})

test('a mesh exists once, and a stranger to it is turned away', async () => {
  await using mesh = await testMesh()
  const stranger = { ...mesh.founder, member: memberKey(nodeRandom(32)) }
  const options = await mesh.options('Stranger', { identity: stranger })
  await expect(Mesh.connect(options)).rejects.toThrow(refusal('unauthorized'))
  const other = await createMesh({ url: mesh.url, slug: 'other', name: 'Else', clock: mesh.clock, dial: nodeDial })
  const foreign = { ...mesh.founder, member: other.member, chain: other.chain }
  await expect(Mesh.connect({ ...options, identity: foreign, session: newSession() })).rejects.toThrow(refusal('unauthorized'))
})
