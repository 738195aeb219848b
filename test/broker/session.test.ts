import { issueMember, issuePolicy, issuePresence, issueSession, memberKey, rootKey, sessionKey, signHello, signCreate, meshIdOf } from '@claudemesh/crypto'
import { describe, expect, test } from 'vitest'
import { verifies } from '../harness/verifies.ts'
import { b64u, dial, nobody, Peer, random, TestMesh, type Frame } from './kit.ts'
import { onEveryStore } from './world.ts'

const byName = (a: unknown, b: unknown) => String(a).localeCompare(String(b))
const code = (frame: Frame) => (frame.type === 'error' ? frame['code'] : frame.type)

onEveryStore((world) => {
  describe('hello', () => {
    test('admits a session that proves member and session key', async () => {
      verifies('wire.hello', 'identity.member-authorizes')
      const mesh = await world().mesh()
      const peer = new Peer(mesh, { name: 'Alice' })
      const answer = await peer.connect()
      expect(answer).toMatchObject({ type: 'hello_ack', id: 'hello', memberDisplayName: 'Founder', policy: mesh.policy, queued: 0 })
      await peer[Symbol.asyncDispose]()
    })

    /** What the broker answers to one hello, changed or built by hand; the connection must end with it. */
    async function refused(mesh: TestMesh, change: (peer: Peer, nonce: string) => Record<string, unknown>): Promise<Frame> {
      const peer = new Peer(mesh, { name: 'Alice' })
      const { wire, nonce } = await dial(mesh.url)
      const answer = await wire.ask({ ...peer.helloFrame(nonce), ...change(peer, nonce) })
      expect((await wire.closed).code).toBe(code(answer) === 'revoked' ? 4403 : 4401)
      return answer
    }

    test('a hello recorded on one connection is refused on another', async () => {
      const mesh = await world().mesh()
      const peer = new Peer(mesh, { name: 'Alice' })
      const first = await dial(mesh.url)
      const hello = peer.helloFrame(first.nonce)
      expect(code(await first.wire.ask(hello))).toBe('hello_ack')
      const second = await dial(mesh.url)
      expect(code(await second.wire.ask(hello))).toBe('unauthorized')
      await first.wire[Symbol.asyncDispose]()
      await second.wire.closed
    })

    test('a hello made for another broker is refused', async () => {
      const mesh = await world().mesh()
      expect(code(await refused(mesh, (peer, nonce) => peer.helloFrame(nonce, { aud: 'ws://elsewhere.example:7717' })))).toBe('bad_audience')
    })

    test('an audience that was not signed is refused', async () => {
      const mesh = await world().mesh()
      expect(code(await refused(mesh, (peer, nonce) => ({ ...peer.helloFrame(nonce, { aud: 'ws://elsewhere.example' }), aud: mesh.url })))).toBe('unauthorized')
    })

    test('a clock that is six minutes off is refused, and told the time', async () => {
      const mesh = await world().mesh()
      const answer = await refused(mesh, (peer, nonce) => peer.helloFrame(nonce, { timestamp: mesh.clock.now() - 360_000 }))
      expect(answer).toMatchObject({ code: 'clock_skew', serverTime: mesh.clock.now() })
    })

    test('unknown mesh, unknown member and wrong signature look alike', async () => {
      const mesh = await world().mesh()
      const other = new TestMesh(mesh.url, mesh.clock)
      const stranger = new Peer(other, { name: 'Alice' })
      const answers = [
        await refused(mesh, (_, nonce) => stranger.helloFrame(nonce)),
        await refused(mesh, (_, nonce) => ({ ...stranger.helloFrame(nonce), meshId: mesh.id })),
        await refused(mesh, () => ({ signature: b64u(64) })),
        await refused(mesh, () => ({ proof: b64u(64) })),
      ]
      expect(new Set(answers.map((answer) => JSON.stringify(answer))).size).toBe(1)
      expect(code(answers[0] as Frame)).toBe('unauthorized')
    })

    test('nobody registers a session key that is not his', async () => {
      const mesh = await world().mesh()
      const victim = sessionKey(random(32))
      const answer = await refused(mesh, (peer, nonce) => {
        const transcript = { aud: mesh.url, clientNonce: b64u(16), timestamp: mesh.clock.now() }
        const { signature } = signHello({ mesh: mesh.id, member: peer.member.key, session: peer.session, nonce, ...transcript })
        return { sessionPubkey: victim.publicKey, ...transcript, signature }
      })
      expect(code(answer)).toBe('unauthorized')
    })

    test('a session certificate of another member is refused', async () => {
      const mesh = await world().mesh()
      const other = await mesh.enrolled('Bob')
      const answer = await refused(mesh, (peer) => {
        const iat = mesh.clock.now()
        return { chain: [...peer.member.chain, issueSession({ mesh: mesh.id, session: peer.session, member: other.key, iat, exp: iat + 1000 })] }
      })
      expect(code(answer)).toMatch(/^bad_(chain|token)$/)
    })

    test('another chain than the enrolled one is refused, valid as it may be', async () => {
      const mesh = await world().mesh()
      const twin = issueMember({ mesh: mesh.id, subject: mesh.admin, issuer: mesh.root, role: 'admin', name: 'Twin', iat: mesh.clock.now() })
      const answer = await refused(mesh, (peer) => ({ chain: [twin, peer.chain.at(-1)] }))
      expect(code(answer)).toBe('bad_chain')
    })

    test('an expired session certificate is refused', async () => {
      const mesh = await world().mesh()
      const answer = await refused(mesh, (peer) => {
        const iat = mesh.clock.now() - 3_600_000
        return { chain: [...peer.member.chain, issueSession({ mesh: mesh.id, session: peer.session, member: peer.member.key, iat, exp: iat + 1000 })] }
      })
      expect(code(answer)).toBe('bad_chain')
    })

    test('a presence that another session signed is refused', async () => {
      const mesh = await world().mesh()
      const session = sessionKey(random(32))
      const presence = issuePresence({ mesh: mesh.id, session, seq: 1, ts: mesh.clock.now(), name: 'Alice', groups: [] })
      expect(code(await refused(mesh, () => ({ presence })))).toBe('bad_presence')
    })

    test.each([
      ['name', { displayName: 'Mallory' }],
      ['groups', { groups: [{ name: 'frontend' }] }],
    ])('a presence that carries another %s than the hello is refused', async (_, change) => {
      const mesh = await world().mesh()
      expect(code(await refused(mesh, () => change))).toBe('bad_presence')
    })

    test('an older presence than the last one is refused', async () => {
      const mesh = await world().mesh()
      await using peer = await mesh.peer('Alice')
      const old = issuePresence({ mesh: mesh.id, session: peer.session, seq: 0, ts: mesh.clock.now(), name: 'Alice', groups: [] })
      const { wire, nonce } = await dial(mesh.url)
      expect(code(await wire.ask({ ...peer.helloFrame(nonce), presence: old }))).toBe('bad_presence')
      await wire.closed
    })

    test('a second hello on one connection is refused, and the first stands', async () => {
      const mesh = await world().mesh()
      await using peer = await mesh.peer('Alice')
      const again = await peer.wire.ask({ ...new Peer(mesh, { name: 'Bob' }).helloFrame(b64u(32)), id: 'again' })
      expect(code(again)).toBe('already_ready')
      expect(code(await peer.wire.ask({ type: 'get_policy' }))).toBe('policy')
    })

    test('without a hello in ten seconds the connection ends', async () => {
      const mesh = await world().mesh()
      const { wire } = await dial(mesh.url)
      world().broker.clock.advance(10_000)
      expect(await wire.next('error')).toMatchObject({ code: 'hello_timeout' })
      expect((await wire.closed).code).toBe(4408)
    })

    test('the newest hello of a session wins, and the older connection is told', async () => {
      const mesh = await world().mesh()
      const peer = await mesh.peer('Alice')
      const old = peer.wire
      await peer.connect()
      expect(await old.next('error')).toMatchObject({ code: 'replaced' })
      expect((await old.closed).code).toBe(4409)
      expect(code(await peer.wire.ask({ type: 'get_policy' }))).toBe('policy')
      await peer[Symbol.asyncDispose]()
    })

    test('two processes that fight over one session are both refused for a minute', async () => {
      const mesh = await world().mesh()
      const peer = await mesh.peer('Alice')
      for (let i = 0; i < 3; i++) await peer.connect()
      const last = peer.wire
      await expect(peer.connect()).rejects.toThrow('duplicate_session')
      expect(await last.next('error')).toMatchObject({ code: 'duplicate_session' })
      await expect(peer.connect()).rejects.toThrow('duplicate_session')
      world().broker.clock.advance(61_000)
      await peer.connect()
      await peer[Symbol.asyncDispose]()
    })
  })

  describe('enrol', () => {
    async function enrol(mesh: TestMesh, member: Parameters<TestMesh['enrolFrame']>[1], changes: Record<string, unknown> = {}): Promise<Frame> {
      const { wire, nonce } = await dial(mesh.url)
      const answer = await wire.ask({ ...mesh.enrolFrame(nonce, member), ...changes })
      await wire[Symbol.asyncDispose]()
      return answer
    }

    test('makes a member of who holds the invite, once', async () => {
      const mesh = await world().mesh()
      const invite = mesh.invite({ max: 1 })
      const anna = mesh.memberOf(invite, 'Anna')
      expect(await enrol(mesh, anna)).toMatchObject({ type: 'enrolled', policy: mesh.policy })
      expect(await enrol(mesh, anna)).toMatchObject({ type: 'enrolled' })
      expect(code(await enrol(mesh, mesh.memberOf(invite, 'Bob')))).toBe('invite_used')
      await using peer = await mesh.peer('Alice', { member: anna })
      expect(await peer.wire.ask({ type: 'list_invites' })).toMatchObject({ invites: [{ invitePubkey: invite.key.publicKey, used: 1 }] })
    })

    test('counts every use when ten come at once', async () => {
      const mesh = await world().mesh()
      const invite = mesh.invite({ max: 3 })
      const answers = await Promise.all(Array.from({ length: 10 }, (_, i) => enrol(mesh, mesh.memberOf(invite, `Peer ${i}`))))
      expect(answers.map(code).toSorted(byName)).toEqual([...Array<string>(3).fill('enrolled'), ...Array<string>(7).fill('invite_used')])
    })

    test('an expired invite is refused, also with a certificate made in time', async () => {
      const mesh = await world().mesh()
      const now = mesh.clock.now()
      const invite = mesh.invite({ iat: now - 7_200_000, exp: now - 3_600_000 })
      expect(code(await enrol(mesh, mesh.memberOf(invite, 'Late', memberKey(random(32)), now - 4_000_000)))).toBe('invite_expired')
    })

    test('a revoked invite is refused', async () => {
      const mesh = await world().mesh()
      const invite = mesh.invite()
      await using admin = await mesh.peer('Alice')
      const policy = mesh.makePolicy(2, { ...nobody, invites: [invite.key.publicKey] })
      expect(code(await admin.wire.ask({ type: 'set_policy', policy }))).toBe('ok')
      expect(code(await enrol(mesh, mesh.memberOf(invite)))).toBe('revoked')
    })

    test('an invite that no admin signed is refused', async () => {
      const mesh = await world().mesh()
      const forger = new TestMesh(mesh.url, mesh.clock)
      const forged = forger.memberOf(forger.invite())
      expect(code(await enrol(mesh, forged))).toMatch(/^bad_(chain|token)$/)
    })

    test('the proof of another key is refused', async () => {
      const mesh = await world().mesh()
      expect(code(await enrol(mesh, mesh.memberOf(mesh.invite()), { proof: b64u(64) }))).toBe('unauthorized')
    })

    test('a known member key with other certificates is refused', async () => {
      const mesh = await world().mesh()
      const anna = mesh.memberOf(mesh.invite(), 'Anna')
      expect(code(await enrol(mesh, anna))).toBe('enrolled')
      expect(code(await enrol(mesh, mesh.memberOf(mesh.invite(), 'Anna', anna.key)))).toBe('bad_chain')
    })

    test('an invite that was deposited can be fetched by its public key, and nothing else can', async () => {
      const mesh = await world().mesh()
      const invite = mesh.invite()
      await using admin = await mesh.peer('Alice')
      expect(code(await admin.wire.ask({ type: 'create_invite', chain: invite.chain }))).toBe('ok')
      const http = mesh.url.replace('ws:', 'http:')
      const found = await fetch(`${http}/v1/invite/${invite.key.publicKey}`)
      expect(found.status).toBe(200)
      expect(await found.json()).toEqual({ chain: invite.chain, root: mesh.root.publicKey, slug: 'test', policy: mesh.policy, keyboxes: [] })
      const missing = await fetch(`${http}/v1/invite/${b64u(32)}`)
      expect([missing.status, await missing.json()]).toEqual([404, { code: 'not_found' }])
    })

    test('an invite certificate of another mesh cannot be deposited', async () => {
      const mesh = await world().mesh()
      const other = new TestMesh(mesh.url, mesh.clock)
      await using admin = await mesh.peer('Alice')
      expect(code(await admin.wire.ask({ type: 'create_invite', chain: other.invite().chain }))).toMatch(/^bad_(chain|token)$/)
    })
  })

  describe('create_mesh', () => {
    async function create(mesh: TestMesh, changes: (nonce: string) => Record<string, unknown> = () => ({})): Promise<Frame> {
      const { wire, nonce } = await dial(mesh.url)
      const answer = await wire.ask({ ...mesh.createFrame(nonce), ...changes(nonce) })
      await wire[Symbol.asyncDispose]()
      return answer
    }
    const fresh = () => new TestMesh(world().broker.url, world().broker.clock)

    test('takes a mesh in once', async () => {
      const mesh = fresh()
      expect(await create(mesh)).toMatchObject({ type: 'mesh_created', meshId: mesh.id })
      expect(code(await create(mesh))).toBe('mesh_exists')
    })

    test('refuses who does not hold the root key', async () => {
      expect(code(await create(fresh(), () => ({ proof: b64u(64) })))).toBe('unauthorized')
    })

    test('refuses a founder whom another root certified', async () => {
      expect(code(await create(fresh(), () => ({ chain: [fresh().adminCert] })))).toMatch(/^bad_(chain|token)$/)
    })

    test('refuses a first policy that another root signed', async () => {
      expect(code(await create(fresh(), () => ({ policy: fresh().policy })))).toBe('bad_policy')
    })

    test('refuses a proof for another root', async () => {
      const mesh = fresh()
      const other = rootKey(random(32))
      const answer = await create(mesh, (nonce) => {
        const transcript = { aud: mesh.url, clientNonce: b64u(16), timestamp: mesh.clock.now() }
        return { ...transcript, proof: signCreate({ mesh: meshIdOf(other.publicKey), root: other, nonce, ...transcript }) }
      })
      expect(code(answer)).toBe('unauthorized')
    })
  })

  describe('policy', () => {
    test('a successor replaces the policy once, and everybody hears of it', async () => {
      const mesh = await world().mesh()
      await using alice = await mesh.peer('Alice')
      await using bob = await mesh.peer('Bob', { member: await mesh.enrolled('Bob') })
      const policy = mesh.makePolicy(2)
      expect(code(await alice.wire.ask({ type: 'set_policy', policy }))).toBe('ok')
      expect(await bob.wire.next('policy_changed')).toMatchObject({ policy })
      expect(await bob.wire.ask({ type: 'get_policy' })).toMatchObject({ type: 'policy', policy })
      expect(code(await alice.wire.ask({ type: 'set_policy', policy: mesh.makePolicy(2, { ...nobody, sessions: [bob.key] }) }))).toBe('policy_conflict')
    })

    test('of two successors at the same time one wins', async () => {
      const mesh = await world().mesh()
      await using alice = await mesh.peer('Alice')
      await using bob = await mesh.peer('Bob')
      const answers = await Promise.all(
        [alice, bob].map((peer) => peer.wire.ask({ type: 'set_policy', policy: mesh.makePolicy(2, { ...nobody, invites: [b64u(32)] }) })),
      )
      expect(answers.map(code).toSorted(byName)).toEqual(['ok', 'policy_conflict'])
    })

    test('a policy that no admin signed is refused', async () => {
      const mesh = await world().mesh()
      const member = await mesh.enrolled('Bob')
      await using bob = await mesh.peer('Bob', { member })
      const forged = issuePolicy({
        mesh: mesh.id,
        issuer: member.key,
        cert: member.chain.at(-1),
        v: 2,
        prev: mesh.policy,
        iat: mesh.clock.now(),
        revoked: nobody,
        allow: { plaintext: true, legacyBox: false, memory: 'plain', state: 'plain', files: 'plain' },
        brokers: [],
      })
      expect(code(await bob.wire.ask({ type: 'set_policy', policy: forged }))).toBe('bad_policy')
    })

    test('a policy that skips a version is refused', async () => {
      const mesh = await world().mesh()
      await using alice = await mesh.peer('Alice')
      expect(code(await alice.wire.ask({ type: 'set_policy', policy: mesh.makePolicy(3) }))).toBe('bad_policy')
    })

    test('a revoked member is disconnected at once, gone for its peers, and not let in again', async () => {
      const mesh = await world().mesh()
      await using alice = await mesh.peer('Alice')
      const member = await mesh.enrolled('Bob')
      const bob = await mesh.peer('Bob', { member })
      expect(code(await alice.wire.ask({ type: 'set_policy', policy: mesh.makePolicy(2, { ...nobody, members: [member.key.publicKey] }) }))).toBe('ok')
      expect(await bob.wire.next('error')).toMatchObject({ code: 'revoked' })
      expect((await bob.wire.closed).code).toBe(4403)
      expect(await alice.wire.next('peer_gone')).toMatchObject({ sessionPubkey: bob.key, reason: 'revoked' })
      await expect(bob.connect()).rejects.toThrow('revoked')
      expect(await alice.send([bob.key], 'too late')).toMatchObject({ queued: 0, gone: [bob.key] })
    })
  })
})
