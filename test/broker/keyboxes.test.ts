// Who may put a key box where, and who gets which: the broker keeps boxes it cannot open.
import { memberKey, type Epoch } from '@claudemesh/crypto'
import { expect, test } from 'vitest'
import { Keys } from './epochs.ts'
import { b64u, dial, nobody, random, type Frame, type Peer, type TestMesh } from './kit.ts'
import { onEveryStore } from './world.ts'

const code = (frame: Frame) => (frame.type === 'error' ? frame['code'] : frame.type)
/** A mesh in its first epoch, with a founder and a member online. */
async function begun(mesh: TestMesh) {
  const admin = await mesh.peer('Founder')
  const anna = await mesh.peer('Anna', { member: await mesh.enrolled('Anna') })
  const keys = new Keys(mesh)
  const first = keys.prepare()
  const readers = [admin.member.key.publicKey, anna.member.key.publicKey]
  expect(code(await keys.put(admin, readers, first))).toBe('ok')
  expect(code(await keys.begin(admin, first))).toBe('ok')
  const dispose = async () => {
    await admin[Symbol.asyncDispose]()
    await anna[Symbol.asyncDispose]()
  }
  return { admin, anna, keys, first, [Symbol.asyncDispose]: dispose }
}

const boxesOf = async (peer: Peer) => (await peer.wire.ask({ type: 'get_keyboxes' }))['boxes'] as Frame[]

onEveryStore((world) => {
  test('boxes of the next epoch are seen by nobody until its policy is set', async () => {
    const mesh = await world().mesh()
    await using s = await begun(mesh)
    const [before] = await boxesOf(s.anna)
    expect(before).toMatchObject({ e: 1, by: s.admin.member.key.publicKey })
    const second = s.keys.prepare()
    await s.keys.put(s.admin, [s.admin.member.key.publicKey, s.anna.member.key.publicKey], second)
    expect(await boxesOf(s.anna)).toEqual([before])
    expect(code(await s.keys.begin(s.admin, second))).toBe('ok')
    expect(await boxesOf(s.anna)).toMatchObject([{ e: 2 }])
    expect(await s.anna.wire.ask({ type: 'list_backs', before: 3 })).toMatchObject({ backs: [{ epoch: 2, back: second.epoch.back }] })
  })

  test('an epoch that leaves out a member or an open invite does not begin', async () => {
    const mesh = await world().mesh()
    await using s = await begun(mesh)
    const second = s.keys.prepare()
    await s.keys.put(s.admin, [s.admin.member.key.publicKey], second)
    expect(await s.keys.begin(s.admin, second)).toMatchObject({ code: 'policy_conflict', message: expect.stringContaining('has no box') })
    // The member that it removes needs none.
    const invite = mesh.invite()
    expect(code(await s.admin.wire.ask({ type: 'create_invite', chain: invite.chain }))).toBe('ok')
    const revoked = { ...nobody, members: [s.anna.member.key.publicKey] }
    expect(await s.keys.begin(s.admin, second, revoked)).toMatchObject({ code: 'policy_conflict' })
    await s.keys.put(s.admin, [invite.key.publicKey], second)
    expect(code(await s.keys.begin(s.admin, second, revoked))).toBe('ok')
    expect(await boxesOf(s.admin)).toMatchObject([{ e: 2 }])
  })

  test('only admins prepare an epoch, and only the next one', async () => {
    const mesh = await world().mesh()
    await using s = await begun(mesh)
    const second = s.keys.prepare()
    expect(code(await s.keys.put(s.anna, [s.anna.member.key.publicKey], second))).toBe('not_found')
    const third = { ...second, epoch: { ...second.epoch, number: 3 } }
    expect(code(await s.keys.put(s.admin, [s.admin.member.key.publicKey], third))).toBe('policy_conflict')
    const past = { ...second, epoch: { ...second.epoch, number: 1 } }
    expect(code(await s.keys.put(s.admin, [s.admin.member.key.publicKey], past))).toBe('policy_conflict')
  })

  test('a box is for oneself, for a member that asked, or an admin’s for a reader of the mesh', async () => {
    const mesh = await world().mesh()
    await using s = await begun(mesh)
    const founder = s.admin.member.key.publicKey
    const anna = s.anna.member.key.publicKey
    expect(code(await s.keys.put(s.anna, [anna], s.first))).toBe('ok')
    expect(code(await s.keys.put(s.anna, [founder], s.first))).toBe('not_found')
    expect(code(await s.keys.put(s.admin, [memberKey(random(32)).publicKey], s.first))).toBe('not_found')
    expect(code(await s.keys.put(s.admin, [anna, anna], s.first))).toBe('bad_frame')

    expect(await s.admin.wire.ask({ type: 'request_key' })).toMatchObject({ asked: 1 })
    expect(await s.anna.wire.next('key_wanted')).toMatchObject({ memberPubkey: founder, chain: s.admin.member.chain })
    expect(code(await s.keys.put(s.anna, [founder], s.first))).toBe('ok')
    expect(await s.admin.wire.next('keybox')).toMatchObject({ keybox: { e: 1, by: anna } })
    // Each has a place of its own: the rogue box displaces none.
    expect(await boxesOf(s.admin)).toMatchObject([{ by: founder }, { by: anna }])
    // Once it boxed for itself, the others' go.
    expect(code(await s.keys.put(s.admin, [founder], s.first))).toBe('ok')
    expect(await boxesOf(s.admin)).toMatchObject([{ by: founder }])
  })

  test('a question for the key is answered for a while only', async () => {
    const mesh = await world().mesh()
    await using s = await begun(mesh)
    await s.admin.wire.ask({ type: 'request_key' })
    world().broker.clock.advance(21_000)
    expect(code(await s.keys.put(s.anna, [s.admin.member.key.publicKey], s.first))).toBe('not_found')
  })

  test('an enrolment brings the new member’s own box, of the key in force alone', async () => {
    const mesh = await world().mesh()
    await using s = await begun(mesh)
    const enrol = async (made: { epoch: Epoch; key: Uint8Array }) => {
      const member = mesh.memberOf(mesh.invite(), 'Bert')
      const { n, c } = s.keys.box(member.key.publicKey, member.key, made)
      const { wire, nonce } = await dial(mesh.url)
      await using _ = wire
      const answer = await wire.ask({ ...mesh.enrolFrame(nonce, member), keybox: { mk: made.epoch.mk, n, c } })
      return { member, answer }
    }
    const stale = await enrol(s.keys.prepare())
    expect(code(stale.answer)).toBe('policy_conflict')
    const { member, answer } = await enrol(s.first)
    expect(code(answer)).toBe('enrolled')
    await using bert = await mesh.peer('Bert', { member })
    expect(await boxesOf(bert)).toMatchObject([{ e: 1, by: member.key.publicKey }])
  })

  test('members are listed with certificates that whoever asks can verify', async () => {
    const mesh = await world().mesh()
    await using s = await begun(mesh)
    const { members, tokens } = (await s.anna.wire.ask({ type: 'list_members' })) as unknown as { members: { chain: number[] }[]; tokens: string[] }
    const chains = members.map(({ chain }) => chain.map((index) => tokens[index]))
    expect(chains).toHaveLength(2)
    expect(chains).toEqual(expect.arrayContaining([s.admin.member.chain, s.anna.member.chain]))
  })

  test('a mesh that begins with a key brings the founder’s box, and the other way round', async () => {
    const mesh = await world().mesh()
    const keys = new Keys(mesh)
    const first = keys.prepare()
    const { wire, nonce } = await dial(mesh.url)
    await using _ = wire
    const keybox = { mk: first.epoch.mk, n: b64u(24), c: b64u(64) }
    expect(code(await wire.ask({ ...mesh.createFrame(nonce), keybox }))).toBe('bad_policy')
  })
})
