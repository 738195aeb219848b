import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock } from '@claudemesh/protocol'
import { openStore } from '@claudemesh/drivers'
import { createBroker } from '@claudemesh/broker'
import { expect, inject, test } from 'vitest'
import { postgresUrl } from '../harness/postgres.ts'
import { dial, Peer, testBroker, TestMesh, type Frame } from './kit.ts'

/** A broker in a process of its own, which can be killed. */
async function broker(store: string): Promise<{ port: number; kill(): Promise<void> }> {
  const child = fork(new URL('broker-process.ts', import.meta.url), [store], { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
  const [{ port }] = (await once(child, 'message')) as [{ port: number }]
  return {
    port,
    kill: async () => {
      child.kill('SIGKILL')
      await once(child, 'exit')
    },
  }
}

const stores = [
  ['PGlite on disk', async (folder: string) => `pglite:${join(folder, 'data')}`],
  ['PostgreSQL', () => postgresUrl(inject('postgres'))],
] as const

test.each(stores)('kill -9 in the middle of a stream loses nothing that was acknowledged (%s)', async (_, open) => {
  const folder = mkdtempSync(join(tmpdir(), 'claudemesh-crash-'))
  const url = await open(folder)
  let running = await broker(url)
  try {
    const at = `ws://127.0.0.1:${running.port}`
    const mesh = await new TestMesh(at, systemClock).create()
    const alice = await mesh.peer('Alice')
    const bob = await mesh.peer('Bob', { member: await mesh.enrolled('Bob') })
    await bob.drop()
    const acked: unknown[] = []
    for (let i = 0; i < 900; i++) alice.wire.send(alice.sendFrame([bob.key], `m${i}`))
    while (acked.length < 200) acked.push((await alice.wire.next('ack'))['messageId'])
    await running.kill()
    await alice.wire.closed
    for (const frame of alice.wire.seen) if (frame.type === 'ack' && !acked.includes(frame['messageId'])) acked.push(frame['messageId'])

    running = await broker(url)
    const again = new TestMesh(`ws://127.0.0.1:${running.port}`, systemClock)
    const back = Object.assign(new Peer(Object.assign(again, { id: mesh.id }), { name: 'Bob', member: bob.member, session: bob.session }), {
      chain: bob.chain,
      seq: bob.seq,
    })
    const { queued } = (await back.connect()) as Frame & { queued: number }
    expect(queued).toBeGreaterThanOrEqual(acked.length)
    const pushed = new Set<unknown>()
    while (pushed.size < queued) pushed.add((await back.wire.next('push'))['messageId'])
    expect(acked.filter((id) => !pushed.has(id))).toEqual([])
    await back[Symbol.asyncDispose]()
  } finally {
    await running.kill()
    rmSync(folder, { recursive: true, force: true })
  }
})

test('sessions that were live when the broker went down linger from the next start on', async () => {
  await using store = await openStore('pglite:')
  const first = await testBrokerOn(store)
  const mesh = await new TestMesh(first.url, systemClock).create()
  const [alice, bob] = [await mesh.peer('Alice'), await mesh.peer('Bob')]
  const { messageId } = await alice.send([bob.key], 'before')
  await first[Symbol.asyncDispose]()
  expect(await alice.wire.next('error')).toMatchObject({ code: 'shutting_down', retryAfter: expect.any(Number) as number })
  expect((await alice.wire.closed).code).toBe(1012)

  const second = await testBrokerOn(store)
  const back = Object.assign(alice, { mesh: Object.assign(new TestMesh(second.url, systemClock), { id: mesh.id }) })
  await back.connect()
  const list = await back.wire.ask({ type: 'list_peers' })
  expect(list['peers']).toContainEqual(expect.objectContaining({ sessionPubkey: bob.key, connected: false }) as Frame)
  expect(await back.send([bob.key], 'after')).toMatchObject({ queued: 1, gone: [] })
  expect(await back.wire.ask({ type: 'message_status', messageId })).toMatchObject({ recipients: [{ rung: 'stored', connected: false }] })
  await back[Symbol.asyncDispose]()
  await second[Symbol.asyncDispose]()
})

test('an id that was stored before a restart repeats its answer, and is a conflict with other content', async () => {
  await using store = await openStore('pglite:')
  const first = await testBrokerOn(store)
  const mesh = await new TestMesh(first.url, systemClock).create()
  const [alice, bob, carol] = [await mesh.peer('Alice'), await mesh.peer('Bob'), await mesh.peer('Carol')]
  const sent = alice.sendFrame([bob.key], 'before', { targetSpec: [bob.key, carol.key], shared: true })
  const ack = await alice.wire.ask(sent)
  await first[Symbol.asyncDispose]()

  const second = await testBrokerOn(store)
  Object.assign(alice, { mesh: Object.assign(new TestMesh(second.url, systemClock), { id: mesh.id }) })
  await alice.connect()
  expect(await alice.wire.ask(sent)).toMatchObject({ type: 'ack', messageId: ack['messageId'], queued: 1, missing: [{ sessionPubkey: carol.key }] })
  const other = alice.sendFrame([carol.key], 'other', { id: sent['id'] as never, targetSpec: [bob.key, carol.key], shared: true })
  expect(await alice.wire.ask({ ...other, id: sent['id'] })).toMatchObject({ type: 'error', code: 'id_conflict' })
  const status = await alice.wire.ask({ type: 'message_status', messageId: ack['messageId'] })
  expect(status['recipients']).toEqual([expect.objectContaining({ sessionPubkey: bob.key, rung: 'stored' })])
  await alice[Symbol.asyncDispose]()
  await second[Symbol.asyncDispose]()
})

test('a broker that goes down leaves no timer and no connection behind', async () => {
  const broker = await testBroker('pglite:')
  const mesh = await new TestMesh(broker.url, broker.clock).create()
  const peers = [await mesh.peer('Alice'), await mesh.peer('Bob')]
  const { wire } = await dial(broker.url)
  await broker[Symbol.asyncDispose]()
  expect((await Promise.all([...peers.map((peer) => peer.wire.closed), wire.closed])).map(({ code }) => code)).toEqual([1012, 1012, 1012])
  expect(broker.clock.advance(3_600_000)).toBeUndefined()
  await expect(fetch(`${broker.url.replace('ws:', 'http:')}/healthz`)).rejects.toThrow('fetch failed')
})

async function testBrokerOn(store: Awaited<ReturnType<typeof openStore>>) {
  return createBroker({ store })
}
