import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock } from '@claudemesh/protocol'
import postgres from 'postgres'
import { afterAll, describe, expect, inject, test } from 'vitest'
import { roster, through } from '../cluster/cluster.ts'
import { Line } from '../harness/line.ts'
import { postgresUrl } from '../harness/postgres.ts'
import { dial, nobody, Peer, testBroker, TestMesh, type Frame } from './kit.ts'
import { slowInserts } from './slow-inserts.ts'

/** A broker in a process of its own, that dies as soon as what it is asked next is committed. */
async function mortal(store: string) {
  const child = fork(new URL('broker-process.ts', import.meta.url), [store], { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
  const [{ port }] = (await once(child, 'message')) as [{ port: number }]
  return {
    port,
    die: async () => {
      child.send('die')
      await once(child, 'message')
    },
    end: async () => {
      if (child.exitCode !== null || child.signalCode !== null) return
      child.kill('SIGKILL')
      await once(child, 'exit')
    },
  }
}

/** A session again, with its keys, at another broker. */
const again = (peer: Peer, url: string) =>
  Object.assign(new Peer(through({ url } as never, peer.mesh), { name: peer.name, member: peer.member, session: peer.session }), {
    seq: peer.seq,
    chain: peer.chain,
  })

const states = async (peer: Peer, { messageId }: Frame) => (await peer.wire.ask({ type: 'message_status', messageId }))['recipients']

const stores = [
  ['PGlite on disk', async (folder: string) => `pglite:${join(folder, 'data')}`],
  ['PostgreSQL', () => postgresUrl(inject('postgres'))],
] as const

describe.each(stores)('a broker that is killed when a policy is committed and nothing has followed from it (%s)', (_, open) => {
  const folder = mkdtempSync(join(tmpdir(), 'claudemesh-revoked-'))
  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  test('has those whom it revokes gone when it starts again, and what waits for them failed', async () => {
    const url = await open(folder)
    const killed = await mortal(url)
    try {
      const mesh = await new TestMesh(`ws://127.0.0.1:${killed.port}`, systemClock).create()
      const [revoked, other] = [await mesh.enrolled('Bob'), await mesh.enrolled('Carol')]
      const alice = await mesh.peer('Alice')
      const bob = await mesh.peer('Bob', { member: revoked })
      const carol = await mesh.peer('Carol', { member: other })
      await bob.drop()
      const sent = await alice.send([bob.key, carol.key], 'to both', { shared: true })
      const mail = await alice.send([revoked.key.publicKey, other.key.publicKey], 'letters', { members: 2, shared: true })
      await killed.die()
      alice.wire.send({ type: 'set_policy', id: 'last', policy: mesh.makePolicy(2, { ...nobody, members: [revoked.key.publicKey] }) })
      await alice.wire.closed
      expect(alice.wire.seen.map(({ type }) => type)).not.toContain('policy_changed')

      await using broker = await testBroker(url, { clock: systemClock })
      await using back = again(alice, broker.url)
      await back.connect()
      expect(await roster(back)).toEqual({ [alice.key]: true, [carol.key]: false })
      const failed = { rung: 'failed', reason: 'revoked' }
      expect(await states(back, sent)).toMatchObject([
        { sessionPubkey: bob.key, ...failed },
        { sessionPubkey: carol.key, rung: 'stored' },
      ])
      expect(await states(back, mail)).toMatchObject([{ ...failed, mail: true }, { rung: 'stored' }])
      expect(await back.send([bob.key], 'too late')).toMatchObject({ queued: 0, gone: [bob.key] })
      await expect(again(bob, broker.url).connect()).rejects.toThrow('revoked')
      expect(await broker.consistencyCheck()).toEqual([])
    } finally {
      await killed.end()
    }
  })
})

test('a hello that is under way while a policy revokes its member is refused, and leaves no session behind', async () => {
  const store = await postgresUrl(inject('postgres'))
  await using broker = await testBroker(store)
  const mesh = await new TestMesh(broker.url, broker.clock).create()
  const member = await mesh.enrolled('Bob')
  await using alice = await mesh.peer('Alice')
  const bob = new Peer(mesh, { name: 'Bob', member })
  const { wire, nonce } = await dial(mesh.url)
  const slow = await slowInserts(store, 'lock table mesh.presence in share mode')
  const answer = wire.ask(bob.helloFrame(nonce))
  await slow.waits()
  expect(await alice.wire.ask({ type: 'set_policy', policy: mesh.makePolicy(2, { ...nobody, members: [member.key.publicKey] }) })).toMatchObject({ type: 'ok' })
  await slow.release()
  expect(await answer).toMatchObject({ type: 'error', code: 'revoked' })
  expect((await wire.closed).code).toBe(4403)
  expect(await roster(alice)).toEqual({ [alice.key]: true })
  expect(await broker.consistencyCheck()).toEqual([])
})

test('an invite that is revoked while somebody enrols with it lets nobody in', async () => {
  const store = await postgresUrl(inject('postgres'))
  await using broker = await testBroker(store)
  const mesh = await new TestMesh(broker.url, broker.clock).create()
  await using alice = await mesh.peer('Alice')
  const invite = mesh.invite()
  const { wire, nonce } = await dial(mesh.url)
  const slow = await slowInserts(store, 'select 1 from mesh.mesh for update')
  const set = alice.wire.ask({ type: 'set_policy', policy: mesh.makePolicy(2, { ...nobody, invites: [invite.key.publicKey] }) })
  await slow.waits()
  const answer = wire.ask(mesh.enrolFrame(nonce, mesh.memberOf(invite)))
  await slow.waits(2)
  await slow.release()
  expect(await set).toMatchObject({ type: 'ok' })
  expect(await answer).toMatchObject({ type: 'error', code: 'policy_conflict' })
  await wire[Symbol.asyncDispose]()
  expect((await alice.wire.ask({ type: 'list_members' }))['members']).toHaveLength(1)
})

describe('a policy of which the broker does not hear that it was committed, because the line to the store is cut', () => {
  const world = async () => {
    const url = new URL(await postgresUrl(inject('postgres')))
    const line = await Line.to(Number(url.port))
    const direct = url.href
    url.port = String(line.port)
    const broker = await testBroker(url.href)
    const sql = postgres(direct, { max: 2, onnotice: () => {} })
    // The commit itself waits until the test lets it go on.
    await sql.unsafe(`create function mesh.wait() returns trigger language plpgsql as 'begin perform pg_advisory_xact_lock_shared(1); return null; end';
      create constraint trigger wait after update on mesh.mesh deferrable initially deferred for each row execute function mesh.wait()`)
    const mesh = await new TestMesh(broker.url, broker.clock).create()
    const member = await mesh.enrolled('Bob')
    const [alice, bob] = [await mesh.peer('Alice'), await mesh.peer('Bob', { member })]
    const policy = mesh.makePolicy(2, { ...nobody, members: [member.key.publicKey] })
    const slow = await slowInserts(direct, 'select pg_advisory_xact_lock(1)')
    const answer = alice.wire.ask({ type: 'set_policy', policy })
    await slow.waits()
    line.cut()
    expect(await answer).toMatchObject({ type: 'error', code: 'storage_unavailable' })
    await slow.release()
    while ((await sql`select 1 from mesh.mesh where policy_version = 2`).length === 0);
    const end = async () => {
      for (const peer of [alice, bob]) await peer[Symbol.asyncDispose]()
      await broker[Symbol.asyncDispose]()
      await sql.end()
      await line[Symbol.asyncDispose]()
    }
    return { broker, mesh, alice, bob, policy, end }
  }

  test('is in force within a minute', async () => {
    const { broker, alice, bob, policy, end } = await world()
    broker.clock.advance(60_000)
    expect(await alice.wire.next('policy_changed')).toMatchObject({ policy })
    expect((await bob.wire.closed).code).toBe(4403)
    await end()
  })

  test('keeps nobody from setting the next one', async () => {
    const { alice, bob, mesh, policy, end } = await world()
    const other = mesh.makePolicy(2)
    expect(await alice.wire.ask({ type: 'set_policy', policy: other })).toMatchObject({ code: 'policy_conflict' })
    expect(await alice.wire.ask({ type: 'get_policy' })).toMatchObject({ policy })
    expect((await bob.wire.closed).code).toBe(4403)
    expect(await alice.wire.ask({ type: 'set_policy', policy: mesh.makePolicy(3, nobody, policy) })).toMatchObject({ type: 'ok' })
    await end()
  })
})
