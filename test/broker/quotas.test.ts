import { afterAll, beforeAll, expect, inject, test } from 'vitest'
import { limits } from '@claudemesh/protocol'
import { sql, type SQL } from 'drizzle-orm'
import { createBroker, type Blob, type Store } from '@claudemesh/broker'
import { openBlob, openStore } from '@claudemesh/drivers'
import { TestClock } from '../harness/clock.ts'
import { postgresUrl } from '../harness/postgres.ts'
import { fileId, record } from './file-kit.ts'
import { b64u, dial, TestMesh, type Frame, type Peer } from './kit.ts'

// Each quota is a mesh's own: the store is filled up to one less than the limit, the last one is taken, one more is refused, and another mesh notices nothing.

let store: Store
let blob: Blob
beforeAll(async () => {
  store = await openStore(await postgresUrl(inject('postgres')))
  blob = await openBlob('file:')
})
afterAll(async () => {
  await blob[Symbol.asyncDispose]()
  await store[Symbol.asyncDispose]()
})

async function at() {
  const clock = new TestClock()
  const broker = await createBroker({ store, blob, clock, rates: false })
  const [mesh, other] = [await new TestMesh(broker.url, clock).create(), await new TestMesh(broker.url, clock).create()]
  return { broker, mesh, other, clock }
}

const fill = (statement: SQL) => store.db.execute(statement)

async function enrol(mesh: TestMesh, member = mesh.memberOf(mesh.invite())): Promise<Frame> {
  const { wire, nonce } = await dial(mesh.url)
  const answer = await wire.ask(mesh.enrolFrame(nonce, member))
  await wire[Symbol.asyncDispose]()
  return answer
}

test(`a mesh has ${limits.members} members and no more; who is one may come again`, async () => {
  const { broker, mesh, other } = await at()
  await fill(sql`insert into mesh.member select mesh_id, id || n, pubkey || n, name, role, chain, invite_pubkey, created_at
    from mesh.member, generate_series(1, ${limits.members - 2}::int) n where mesh_id = ${mesh.id}`)
  // Of several at once one takes the last place.
  const several = [1, 2, 3, 4].map(() => mesh.memberOf(mesh.invite()))
  const answers = await Promise.all(several.map((member) => enrol(mesh, member)))
  expect(answers.filter(({ type }) => type === 'enrolled')).toHaveLength(1)
  const last = several[answers.findIndex(({ type }) => type === 'enrolled')]
  const invite = mesh.invite()
  expect(await enrol(mesh, mesh.memberOf(invite))).toMatchObject({ code: 'quota_exceeded', message: 'this mesh has 10000 members already' })
  expect(await enrol(mesh, last)).toMatchObject({ type: 'enrolled' })
  expect(await enrol(other)).toMatchObject({ type: 'enrolled' })
  // The invite of whoever was refused was not used up.
  await fill(sql`delete from mesh.member where ctid = (select ctid from mesh.member where mesh_id = ${mesh.id} and length(id) > 22 limit 1)`)
  expect(await enrol(mesh, mesh.memberOf(invite))).toMatchObject({ type: 'enrolled' })
  await broker[Symbol.asyncDispose]()
})

test(`a mesh has ${limits.invites} open invites and no more; used and expired ones do not count`, async () => {
  const { broker, mesh, other, clock } = await at()
  await using admin = await mesh.peer('Admin')
  await using elsewhere = await other.peer('Elsewhere')
  const create = (peer: typeof admin, exp?: number) => peer.wire.ask({ type: 'create_invite', chain: peer.mesh.invite(exp === undefined ? {} : { exp }).chain })
  const soon = clock.now() + 60_000
  expect(await create(admin, soon)).toMatchObject({ type: 'ok' })
  expect(await create(admin)).toMatchObject({ type: 'ok' })
  await fill(sql`insert into mesh.invite select mesh_id, pubkey || n, chain, max, used, expires_at, created_at
    from mesh.invite, generate_series(1, ${limits.invites - 2}::int) n where mesh_id = ${mesh.id} and expires_at > ${soon}::bigint`)
  const refused = { code: 'quota_exceeded', message: '1000 invites of this mesh can still be used: revoke some, or let them expire' }
  expect(await create(admin)).toMatchObject(refused)
  expect(await create(elsewhere)).toMatchObject({ type: 'ok' })
  clock.advance(60_001)
  const peers = [await mesh.peer('One'), await mesh.peer('Two'), await mesh.peer('Three')]
  const answers = await Promise.all(peers.map((peer) => create(peer)))
  expect(answers.map(({ type }) => type).toSorted()).toEqual(['error', 'error', 'ok'])
  expect(await create(admin)).toMatchObject(refused)
  await fill(
    sql`update mesh.invite set used = max where ctid = (select ctid from mesh.invite where mesh_id = ${mesh.id} and expires_at > ${soon}::bigint limit 1)`,
  )
  expect(await create(admin)).toMatchObject({ type: 'ok' })
  for (const peer of peers) await peer[Symbol.asyncDispose]()
  await broker[Symbol.asyncDispose]()
})

test(`a mesh holds ${limits.memories} memories and no more, with forgotten ones twice as many`, async () => {
  const { broker, mesh, other } = await at()
  await using peer = await mesh.peer('Peer')
  await using elsewhere = await other.peer('Elsewhere')
  const remember = async (by: typeof peer, memoryId = b64u(16)) => ({ memoryId, answer: await by.wire.ask({ type: 'remember', memoryId, record: record() }) })
  const first = await remember(peer)
  expect(first.answer).toMatchObject({ type: 'memory_stored' })
  await fill(sql`update mesh.memory_head set live = ${limits.memories - 1}, total = ${limits.memories} where mesh_id = ${mesh.id}`)
  expect((await remember(peer)).answer).toMatchObject({ type: 'memory_stored' })
  const refused = { code: 'quota_exceeded', message: 'this mesh holds 50000 memories, the most there may be; forget what is outdated' }
  expect((await remember(peer)).answer).toMatchObject(refused)
  expect((await remember(peer, first.memoryId)).answer).toMatchObject({ code: 'id_conflict' })
  expect((await remember(elsewhere)).answer).toMatchObject({ type: 'memory_stored' })
  await fill(sql`update mesh.memory_head set live = 1, total = ${limits.memories * 2} where mesh_id = ${mesh.id}`)
  expect((await remember(peer)).answer).toMatchObject({ code: 'quota_exceeded' })
  await broker[Symbol.asyncDispose]()
})

test(`a session has ${limits.uploadsPerSession} uploads under way and no more`, async () => {
  const { broker, mesh } = await at()
  await using peer = await mesh.peer('Peer')
  await using twin = await mesh.peer('Twin')
  const announce = (by: typeof peer, id = fileId()) => by.wire.ask({ type: 'upload_file', fileId: id, kind: 'shared', size: 45 })
  const ids = Array.from({ length: limits.uploadsPerSession }, fileId)
  for (const id of ids) expect(await announce(peer, id)).toMatchObject({ type: 'upload', offset: 0 })
  expect(await announce(peer)).toMatchObject({ code: 'quota_exceeded', message: '64 uploads of this session are under way; finish or delete them first' })
  expect(await announce(peer, ids[0])).toMatchObject({ type: 'upload', offset: 0 })
  expect(await announce(twin)).toMatchObject({ type: 'upload' })
  expect(await peer.wire.ask({ type: 'delete_file', fileId: ids[0] })).toMatchObject({ type: 'ok' })
  expect(await announce(peer)).toMatchObject({ type: 'upload' })
  await broker[Symbol.asyncDispose]()
})

test(`the sessions of a mesh are in ${limits.groupsPerMesh} groups and no more, also where several come at once`, async () => {
  const { broker, mesh, other } = await at()
  const groups = (from: number, count: number) => Array.from({ length: count }, (_, i) => ({ name: `g${from + i}` }))
  const per = limits.groupsPerPeer
  const members = await Promise.all(Array.from({ length: limits.groupsPerMesh / per }, (_, i) => mesh.peer(`Peer ${i}`, { groups: groups(i * per, per) })))
  const [first, last] = [members[0] as Peer, members.at(-1) as Peer]
  const refused = { code: 'quota_exceeded', message: 'the sessions of this mesh are in 256 groups already, 256 is the limit: join one of those' }
  const join = async (peer: Peer, name: string) => {
    const before = peer.groups
    peer.groups = [...before, { name }]
    const answer = await peer.wire.ask({ type: 'join_group', name, presence: peer.presence() })
    if (answer.type === 'error') peer.groups = before
    return answer
  }
  const leave = (peer: Peer, name: string) => {
    peer.groups = peer.groups.filter((group) => group.name !== name)
    return peer.wire.ask({ type: 'leave_group', name, presence: peer.presence() })
  }
  const newcomers = [await mesh.peer('One'), await mesh.peer('Two'), await mesh.peer('Three')]
  expect(await join(newcomers[0] as Peer, 'fresh')).toMatchObject(refused)
  expect(await join(newcomers[1] as Peer, 'g0')).toMatchObject({ type: 'ok' })
  expect(await leave(last, 'g255')).toMatchObject({ type: 'ok' })
  const joined = await Promise.all(newcomers.map((peer, i) => join(peer, `new-${i}`)))
  expect(joined.filter(({ type }) => type === 'ok')).toHaveLength(1)
  expect(joined.filter(({ type }) => type === 'error')).toMatchObject([refused, refused])
  expect(await leave(first, 'g31')).toMatchObject({ type: 'ok' })
  const came = await Promise.allSettled([1, 2, 3].map((i) => mesh.peer(`Late ${i}`, { groups: [{ name: `late-${i}` }] })))
  expect(came.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected', 'rejected'])
  // The same one is one, whoever brings it.
  expect(await leave(first, 'g30')).toMatchObject({ type: 'ok' })
  const same = await Promise.all([1, 2, 3].map((i) => mesh.peer(`Same ${i}`, { groups: [{ name: 'same' }] })))
  await using elsewhere = await other.peer('Elsewhere', { groups: [{ name: 'fresh' }] })
  expect(elsewhere.groups).toHaveLength(1)
  for (const peer of [...members, ...newcomers, ...same, ...came.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []))])
    await peer[Symbol.asyncDispose]()
  await broker[Symbol.asyncDispose]()
})
