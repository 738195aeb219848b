// Who can read what is stored: the mesh key of each epoch, from founding to the tenth rotation, with brokers and members who cheat.
import { enrol, Mesh } from '@claudemesh/client'
import { nodeDial, nodeRandom } from '@claudemesh/client/node'
import {
  commitMeshKey,
  formatInviteLink,
  inviteKey,
  issueInvite,
  issueMember,
  issuePolicy,
  memberKey,
  meshIdOf,
  newMeshKey,
  openKeybox,
  rootKey,
  sealKeybox,
  signCreate,
  type Keybox,
} from '@claudemesh/crypto'
import { times } from '@claudemesh/protocol'
import { expect, test } from 'vitest'
import { WebSocket } from 'ws'
import { EvilBroker, type Frame } from '../harness/evil.ts'
import { next } from '../harness/events.ts'
import { testMesh, type PeerOptions, type TestMesh, type TestPeer } from '../harness/mesh.ts'

const refusal = (code: string, message?: string) =>
  expect.objectContaining({ code, ...(message === undefined ? {} : { message: expect.stringContaining(message) }) })
const founderOf = (mesh: TestMesh, o: PeerOptions = {}) => mesh.peer('Founder', { ...o, identity: mesh.founder })
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')
const current = async (mesh: Mesh) => {
  const { epoch, key } = await mesh.keys.current()
  return { epoch, key: hex(key) }
}
const boxes = async (peer: TestPeer) => (await peer.calls.keys.get({})).boxes

/** Lets a member forget its box: the broker lost it. */
const losesBoxes = (evil: EvilBroker) => {
  evil.tamper = (frame) => [frame.type === 'keyboxes' ? { ...frame, boxes: [] } : frame]
}

test('whoever joins can read with nobody online', async () => {
  await using mesh = await testMesh()
  const founder = await founderOf(mesh)
  const known = await current(founder)
  await founder.close()
  const alice = await mesh.peer('Alice')
  expect(await current(alice)).toEqual(known)
  expect(known.epoch).toBe(1)
  // It boxed the key for itself when it joined: the invite's box is not needed again.
  expect(await boxes(alice)).toMatchObject([{ e: 1, by: alice.identity.member.publicKey }])
})

test('the box of an invite goes with its last use, and stays for one of several', async () => {
  await using mesh = await testMesh()
  const founder = await founderOf(mesh)
  const once = await founder.invites.create()
  const deposit = async (key: string) => (await (await fetch(`http://127.0.0.1:${mesh.broker.port}/v1/invite/${key}`)).json()) as { keyboxes: Keybox[] }
  expect((await deposit(once.key)).keyboxes).toHaveLength(1)
  const join = (link: string) => enrol({ link, name: 'Guest', clock: mesh.clock, dial: nodeDial, random: nodeRandom })
  await join(once.link)
  expect((await deposit(once.key)).keyboxes).toEqual([])

  const twice = await founder.invites.create({ max: 2, expiresMs: 60_000 })
  await join(twice.link)
  expect((await deposit(twice.key)).keyboxes).toHaveLength(1)
  mesh.clock.advance(61_000)
  expect((await deposit(twice.key)).keyboxes).toEqual([])
})

test('a removed member cannot read what is stored after, and nobody hands it the key', async () => {
  await using mesh = await testMesh()
  await using evil = await EvilBroker.before(mesh.url)
  const founder = await founderOf(mesh)
  const alice = await mesh.peer('Alice', { dial: evil.dial })
  const eve = await mesh.peer('Eve')
  const old = await current(eve)
  await founder.amend({ revoke: { members: [eve.identity.member.publicKey] } })
  await mesh.settle()
  const fresh = await current(alice)
  expect(fresh).toEqual(await current(founder))
  expect(fresh.epoch).toBe(2)
  expect(fresh.key).not.toBe(old.key)
  // The broker is on Eve's side: it gives her everything it has, and asks Alice for a box in her name.
  const known = evil.told.length
  evil.say({ type: 'key_wanted', memberPubkey: eve.identity.member.publicKey, chain: eve.identity.chain })
  await mesh.settle()
  expect(JSON.stringify(evil.heard.filter((frame) => frame.type === 'put_keyboxes'))).not.toContain(eve.identity.member.publicKey)
  expect(JSON.stringify(evil.told.slice(known))).not.toContain('keybox')
  for (const box of [...(await boxes(alice)), ...(await boxes(founder))])
    expect(() => openKeybox(box, { mesh: mesh.founder.mesh, reader: eve.identity.member, commit: alice.policy?.epoch?.mk ?? '' })).toThrow(
      refusal('bad_keybox'),
    )
  // What was before remains hers, and Alice's.
  expect(hex(await alice.keys.of(1))).toBe(old.key)
})

test('who joins after five rotations reads all that was stored before', async () => {
  await using mesh = await testMesh()
  const founder = await founderOf(mesh)
  const keys = [await current(founder)]
  for (let i = 0; i < 4; i++) {
    await founder.amend({ rotate: true })
    keys.push(await current(founder))
  }
  expect(new Set(keys.map(({ key }) => key)).size).toBe(5)
  const alice = await mesh.peer('Alice')
  for (const { epoch, key } of keys) expect(hex(await alice.keys.of(epoch))).toBe(key)
  expect(hex(await alice.keys.first())).toBe(keys[0]?.key)
  await expect(alice.keys.of(6)).rejects.toThrow(refusal('no_mesh_key', 'no epoch 6'))
})

test('a member whose box is lost gets the key from another who is online, and keeps it', async () => {
  await using mesh = await testMesh()
  await using evil = await EvilBroker.before(mesh.url)
  const founder = await founderOf(mesh)
  const alice = await mesh.peer('Alice', { dial: evil.dial })
  losesBoxes(evil)
  expect(await current(alice)).toEqual(await current(founder))
  await mesh.settle()
  evil.tamper = (frame) => [frame]
  expect(await boxes(alice)).toMatchObject([{ by: alice.identity.member.publicKey }])
})

test('an answer that is lost on the way is found at the broker', async () => {
  await using mesh = await testMesh()
  await using evil = await EvilBroker.before(mesh.url)
  const founder = await founderOf(mesh)
  const alice = await mesh.peer('Alice', { dial: evil.dial })
  const lost = Promise.withResolvers<void>()
  evil.tamper = (frame) => {
    if (frame.type === 'keyboxes') return [{ ...frame, boxes: [] }]
    if (frame.type !== 'keybox') return [frame]
    lost.resolve()
    evil.tamper = (later) => [later]
    return []
  }
  const key = current(alice)
  await lost.promise
  await mesh.settle()
  mesh.clock.advance(times.keyAnswer)
  expect(await key).toEqual(await current(founder))
})

test('with nobody online who could hand it over, it says so and what to do', async () => {
  await using mesh = await testMesh()
  await using evil = await EvilBroker.before(mesh.url)
  const alice = await mesh.peer('Alice', { dial: evil.dial })
  losesBoxes(evil)
  await expect(alice.keys.current()).rejects.toThrow(refusal('no_mesh_key', 'ask an admin to run claudemesh rotate'))

  // Somebody is there but does not answer.
  const bob = await mesh.peer('Bob')
  bob.line.freeze()
  const { promise, resolve } = Promise.withResolvers<void>()
  evil.tamper = (frame) => {
    if (frame.type === 'key_requested') resolve()
    return [frame.type === 'keyboxes' ? { ...frame, boxes: [] } : frame]
  }
  const outcome = expect(alice.keys.current()).rejects.toThrow(refusal('no_mesh_key', 'nobody who has the key'))
  await promise
  await mesh.settle()
  mesh.clock.advance(times.keyAnswer)
  await outcome
  bob.line.cut()
})

test('a box from a rogue member, or swapped by the broker, is refused, and an honest one is taken', async () => {
  await using mesh = await testMesh()
  await using evil = await EvilBroker.before(mesh.url)
  const founder = await founderOf(mesh)
  const alice = await mesh.peer('Alice', { dial: evil.dial })
  const rogue = memberKey(nodeRandom(32))
  const forged = sealKeybox({
    mesh: mesh.founder.mesh,
    epoch: 1,
    key: newMeshKey(nodeRandom),
    reader: alice.identity.member.publicKey,
    rotator: rogue,
    random: nodeRandom,
  })
  const others = await boxes(founder)
  evil.tamper = (frame) => [frame.type === 'keyboxes' ? { ...frame, boxes: [forged, ...others] } : frame]
  expect(await current(alice)).toEqual(await current(founder))
  expect(evil.heard.map((frame) => frame.type)).toContain('request_key')
})

test('the policy does not go back to an earlier epoch, and a frozen one is exposed', async () => {
  await using mesh = await testMesh()
  await using evil = await EvilBroker.before(mesh.url)
  const founder = await founderOf(mesh)
  const first = founder.policy
  const bob = await mesh.peer('Bob', { dial: evil.dial })
  evil.tamper = (frame) => (frame.type === 'policy_changed' ? [] : [frame])
  await founder.amend({ rotate: true })
  await mesh.settle()
  expect(bob.policy?.epoch?.number).toBe(1)
  await founder.send({ to: 'Bob', message: 'hello' })
  await next(bob, 'policy')
  expect((await current(bob)).epoch).toBe(2)

  // Signed by the root itself, and still refused: the epoch is older than one that Bob has seen.
  const { mesh: id, rootKey: issuer } = mesh.founder
  const allow = { plaintext: false, legacyBox: false, memory: 'sealed', state: 'sealed', files: 'sealed' } as const
  const back = issuePolicy({
    mesh: id,
    issuer,
    v: 3,
    prev: founder.policy?.token,
    iat: 1,
    revoked: { members: [], invites: [], sessions: [] },
    allow,
    brokers: [],
    epoch: first?.epoch,
  })
  evil.say({ type: 'policy_changed', policy: back })
  await mesh.settle()
  expect(bob.policy?.epoch?.number).toBe(2)
})

test('a broker that tells another history of the keys is not believed', async () => {
  await using mesh = await testMesh()
  await using evil = await EvilBroker.before(mesh.url)
  const founder = await founderOf(mesh)
  for (let i = 0; i < 3; i++) await founder.amend({ rotate: true })
  const alice = await mesh.peer('Alice', { dial: evil.dial })
  const lie = (change: (backs: Frame[]) => unknown[]) => {
    evil.tamper = (frame) => [frame.type === 'backs' ? { ...frame, backs: change(frame['backs'] as Frame[]) } : frame]
  }
  lie((backs) => backs.map(({ back, ...rest }) => ({ ...rest, back: { ...(back as object), n: 'A'.repeat(32) } })) as unknown[])
  await expect(alice.keys.first()).rejects.toThrow(refusal('bad_keybox', 'another history'))
  lie(() => [])
  await expect(alice.keys.first()).rejects.toThrow(refusal('bad_keybox', 'does not tell how epoch 3'))
  evil.tamper = (frame) => [frame]
  expect(hex(await alice.keys.first())).toBe(hex(await founder.keys.first()))
})

test('of two admins who rotate at once one is first, and the other starts over', async () => {
  await using mesh = await testMesh()
  const one = await founderOf(mesh)
  const { link } = await one.invites.create()
  const two = await mesh.peer('Two', { identity: mesh.founder })
  const alice = await mesh.peer('Alice')
  const gone = [memberKey(nodeRandom(32)).publicKey, memberKey(nodeRandom(32)).publicKey] as const
  await Promise.all([one.amend({ revoke: { members: [gone[0]] } }), two.amend({ revoke: { members: [gone[1]] } })])
  await mesh.settle()
  expect(alice.policy?.epoch?.number).toBe(3)
  expect(alice.policy?.revoked.members).toEqual(expect.arrayContaining([...gone]))
  const keys = await Promise.all([one, two, alice].map(current))
  expect(new Set(keys.map(({ key }) => key)).size).toBe(1)
  // The open invite got a box of the newest key, too.
  const identity = await enrol({ link, name: 'Late', clock: mesh.clock, dial: nodeDial, random: nodeRandom })
  expect(await current(await mesh.peer('Late', { identity }))).toEqual(keys[0])
})

test('more readers than go into one request all get the new key', async () => {
  await using mesh = await testMesh()
  const founder = await founderOf(mesh)
  const iat = mesh.clock.now()
  const seeds = Array.from({ length: 257 }, () => nodeRandom(16))
  const { mesh: id, root, member: issuer, chain } = mesh.founder
  const issue = (seed: Uint8Array) =>
    issueInvite({ mesh: id, invite: inviteKey(root, seed).publicKey, issuer, role: 'member', max: 1, iat, exp: iat + 3_600_000 })
  await Promise.all(seeds.map((seed) => founder.calls.session.createInvite({ chain: [...chain, issue(seed)] })))
  await founder.amend({ rotate: true })
  const known = await current(founder)
  await founder.close()
  for (const seed of [seeds[0], seeds.at(-1)]) {
    const link = formatInviteLink(`127.0.0.1:${mesh.broker.port}`, root, seed!)
    const peer = await mesh.peer('Late', { identity: await enrol({ link, name: 'Late', clock: mesh.clock, dial: nodeDial, random: nodeRandom }) })
    expect(await current(peer)).toEqual(known)
    await peer.close()
  }
})

test('members who join while an admin rotates are not left without the key', async () => {
  await using mesh = await testMesh()
  const founder = await founderOf(mesh)
  const [identities] = await Promise.all([
    Promise.all(['A', 'B', 'C', 'D'].map((name) => mesh.member(name))),
    founder.amend({ rotate: true }),
    founder.invites.create(),
  ])
  const key = await current(founder)
  await founder.close()
  for (const identity of identities) {
    const peer = await mesh.peer(identity.member.publicKey.slice(0, 4).replace(/[-_]/g, 'x'), { identity })
    expect(await current(peer)).toEqual(key)
    await peer.close()
  }
})

test('a mesh of an older date gets its first key from an admin, not from a member', async () => {
  await using mesh = await testMesh()
  const old = await oldMesh(mesh)
  const alice = await mesh.peer('Alice', { identity: await old.member('Alice') })
  await expect(alice.keys.current()).rejects.toThrow(refusal('no_mesh_key', 'ask an admin to run claudemesh rotate'))
  const founder = await mesh.peer('Founder', { identity: old.founder })
  const known = await current(founder)
  expect(known.epoch).toBe(1)
  await mesh.settle()
  expect(await current(alice)).toEqual(known)
})

test('after the end of a session its keys are gone', async () => {
  await using mesh = await testMesh()
  const alice = await mesh.peer('Alice')
  const { key } = await alice.keys.current()
  await alice.close()
  expect(hex(key)).toBe('00'.repeat(32))
  expect(hex(newMeshKey(nodeRandom))).not.toBe(commitMeshKey(mesh.founder.mesh, 1, key))
})

/** A mesh as it was before there were mesh keys: its policy names no epoch. */
async function oldMesh(mesh: TestMesh) {
  const root = rootKey(nodeRandom(32))
  const id = meshIdOf(root.publicKey)
  const member = memberKey(nodeRandom(32))
  const iat = mesh.clock.now()
  const chain = [issueMember({ mesh: id, subject: member, issuer: root, role: 'admin', name: 'Founder', iat })]
  const allow = { plaintext: false, legacyBox: false, memory: 'sealed', state: 'sealed', files: 'sealed' } as const
  const revoked = { members: [], invites: [], sessions: [] }
  const policy = issuePolicy({ mesh: id, issuer: root, v: 1, iat, revoked, allow, brokers: [] })
  const socket = new WebSocket(mesh.url)
  await new Promise<void>((resolve, reject) => {
    socket.on('message', (data: Buffer) => {
      const frame = JSON.parse(data.toString()) as Frame
      if (frame.type === 'mesh_created') resolve()
      if (frame.type === 'error') reject(new Error(JSON.stringify(frame)))
      if (frame.type !== 'challenge') return
      const transcript = { aud: mesh.broker.url, clientNonce: Buffer.from(nodeRandom(16)).toString('base64url'), timestamp: iat }
      const proof = signCreate({ mesh: id, root, nonce: String(frame['nonce']), ...transcript })
      socket.send(JSON.stringify({ type: 'create_mesh', id: 'c', v: 1, root: root.publicKey, slug: 'old', chain, policy, ...transcript, proof }))
    })
  })
  socket.close()
  const founder = { mesh: id, root: root.publicKey, slug: 'old', member, chain }
  return {
    founder,
    member: async (name: string) => {
      const seed = nodeRandom(16)
      const key = inviteKey(root.publicKey, seed)
      const invite = issueInvite({ mesh: id, invite: key.publicKey, issuer: member, role: 'member', max: 1, iat, exp: iat + 3_600_000 })
      await using admin = await Mesh.connect(await mesh.options('Founder', { identity: founder }))
      await admin.calls.session.createInvite({ chain: [...chain, invite] })
      return enrol({ link: formatInviteLink(`127.0.0.1:${mesh.broker.port}`, root.publicKey, seed), name, clock: mesh.clock, dial: nodeDial })
    },
  }
}
