import { once } from 'node:events'
import { connect } from 'node:net'
import { afterAll, expect, test } from 'vitest'
import { counters, createBroker, figures, histograms, type Blob, type Store } from '@claudemesh/broker'
import { configFrom, serve } from '@claudemesh/broker-app'
import { openStore } from '@claudemesh/drivers'
import { silent } from '@claudemesh/protocol'
import { TestClock } from '../harness/clock.ts'
import { get as download, shared } from './file-kit.ts'
import { dial, TestMesh } from './kit.ts'

const store = await openStore('pglite:')
afterAll(() => store[Symbol.asyncDispose]())

const get = async (broker: { port: number }, path: string, headers: Record<string, string> = {}) => {
  const answer = await fetch(`http://127.0.0.1:${broker.port}${path}`, { headers })
  return { status: answer.status, type: answer.headers.get('content-type'), text: await answer.text() }
}

/** The store, with what it is asked going through `through`. */
function asking(through: (ask: () => Promise<unknown>) => Promise<unknown>): Store {
  const execute = (query: Parameters<Store['db']['execute']>[0]) => through(async () => store.db.execute(query))
  return { ...store, db: new Proxy(store.db, { get: (db, key) => (key === 'execute' ? execute : (Reflect.get(db, key) as unknown)) }) }
}

test('a broker whose parts answer is alive and ready', async () => {
  await using broker = await createBroker({ store, clock: new TestClock() })
  expect(await get(broker, '/healthz')).toMatchObject({ status: 200, text: expect.stringContaining('"ok":true') as string })
  expect(await get(broker, '/readyz')).toMatchObject({ status: 200, text: '{"ready":true,"broker":"ok","store":"ok"}' })
  expect(await get(broker, '/metrics')).toMatchObject({ status: 404 })
})

test('a store that fails makes it not ready, and the store is named', async () => {
  await using broker = await createBroker({ store: asking(() => Promise.reject(new Error('no such host'))), clock: new TestClock() })
  expect(await get(broker, '/readyz')).toMatchObject({ status: 503, text: '{"ready":false,"broker":"ok","store":"failed"}' })
  expect(await get(broker, '/healthz')).toMatchObject({ status: 200 })
})

test('a store that answers too late makes it not ready', async () => {
  const clock = new TestClock()
  const asked = Promise.withResolvers<void>()
  const answer = Promise.withResolvers<unknown>()
  const slow = asking(() => {
    asked.resolve()
    return answer.promise
  })
  await using broker = await createBroker({ store: slow, clock })
  const ready = get(broker, '/readyz')
  await asked.promise
  clock.advance(2000)
  expect(await ready).toMatchObject({ status: 503, text: '{"ready":false,"broker":"ok","store":"slow"}' })
  answer.resolve(undefined)
})

test('file storage that fails makes it not ready', async () => {
  const blob = { read: () => Promise.reject(new Error('no such host')) } as unknown as Blob
  await using broker = await createBroker({ store, blob, clock: new TestClock() })
  expect(await get(broker, '/readyz')).toMatchObject({ status: 503, text: '{"ready":false,"broker":"ok","store":"ok","blob":"failed"}' })
})

test('metrics count what happened, and carry no name of anybody', async () => {
  const clock = new TestClock()
  const config = configFrom({ STORE_URL: 'pglite:.', PORT: '0', HOST: '127.0.0.1', METRICS: 'true' })
  await using broker = await serve({ ...config, storeUrl: 'pglite:' }, { clock, log: silent })
  const mesh = await new TestMesh(broker.url, clock).create()
  const [alice, bob] = [await mesh.peer('Alice'), await mesh.peer('Bob')]
  await alice.send([bob.key], 'hello')
  const { messageId } = (await bob.wire.next('push')) as unknown as { messageId: string }
  bob.wire.send({ type: 'receipt', received: [messageId], failed: [] })
  await alice.wire.next('delivery')
  expect(await alice.wire.ask({ type: 'send', to: 'x' })).toMatchObject({ code: 'bad_frame' })
  const { status, type, text } = await get(broker, '/metrics')
  expect({ status, type }).toEqual({ status: 200, type: expect.stringContaining('text/plain') as string })
  for (const line of [
    'claudemesh_sessions 2',
    'claudemesh_meshes 1',
    'claudemesh_presences 2',
    'claudemesh_queued_messages 1',
    'claudemesh_admitted_share 1',
    'claudemesh_messages_total{rung="stored"} 1',
    'claudemesh_messages_total{rung="received"} 1',
    'claudemesh_refusals_total{code="bad_frame"} 1',
    'claudemesh_greetings_total{type="hello_ack"} 2',
    'claudemesh_fan_out_count 1',
    'claudemesh_ack_seconds_count 1',
    'claudemesh_batch_entries_sum 1',
  ])
    expect(text.split('\n')).toContain(line)
  for (const own of [mesh.id, alice.key, bob.key, messageId, 'Alice', 'hello"']) expect(text).not.toContain(own)
  for (const peer of [alice, bob]) await peer[Symbol.asyncDispose]()
})

test('every metric says what it is, and what waits in the store and lies in storage is counted about once a minute', async () => {
  const clock = new TestClock()
  const config = configFrom({ STORE_URL: 'pglite:.', BLOB_URL: 'file:.', PORT: '0', HOST: '127.0.0.1', METRICS: 'true' })
  await using broker = await serve({ ...config, storeUrl: 'pglite:', blobUrl: 'file:' }, { clock, log: silent })
  const mesh = await new TestMesh(broker.url, clock).create()
  const [alice, bob] = [await mesh.peer('Alice'), await mesh.peer('Bob')]
  await alice.send([bob.key], 'hello')
  const { messageId } = await bob.wire.next('push')
  bob.receive(messageId)
  await alice.wire.next('delivery')
  await alice.send([bob.key], 'and again')
  await download(bob, await shared(alice, Buffer.alloc(5000)))
  const before = (await get(broker, '/metrics')).text.split('\n')
  for (const line of ['claudemesh_stored_messages 0', 'claudemesh_stored_age_seconds 0', 'claudemesh_blob_stored_bytes 0']) expect(before).toContain(line)
  clock.advance(60_000)
  let text = ''
  while (!text.includes('claudemesh_stored_messages 2')) ({ text } = await get(broker, '/metrics'))
  const lines = text.split('\n')
  for (const line of [
    'claudemesh_stored_age_seconds 60',
    'claudemesh_blob_stored_bytes 5000',
    'claudemesh_blob_bytes_total{direction="in"} 5000',
    'claudemesh_blob_bytes_total{direction="out"} 5000',
    'claudemesh_store_seconds_count{kind="messages"} 2',
    'claudemesh_store_seconds_count{kind="receipts"} 1',
  ])
    expect(lines).toContain(line)
  const described = [
    ...Object.entries(counters).map(([name, { doc }]) => `# HELP claudemesh_${name}_total ${doc}`),
    ...Object.entries(histograms).map(([name, { doc }]) => `# HELP claudemesh_${name} ${doc}`),
    ...Object.entries(figures).map(([name, doc]) => `# HELP claudemesh_${name} ${doc}`),
  ]
  expect(lines).toEqual(expect.arrayContaining(described))
  for (const peer of [alice, bob]) await peer[Symbol.asyncDispose]()
})

test('metrics with a token are for whoever bears it', async () => {
  const config = configFrom({ STORE_URL: 'pglite:.', PORT: '0', HOST: '127.0.0.1', METRICS_TOKEN: 'open sesame' })
  await using broker = await serve({ ...config, storeUrl: 'pglite:' }, { clock: new TestClock(), log: silent })
  expect(await get(broker, '/metrics')).toMatchObject({ status: 401, text: '{"code":"unauthorized"}' })
  expect(await get(broker, '/metrics', { authorization: 'Bearer open' })).toMatchObject({ status: 401 })
  expect(await get(broker, '/metrics', { authorization: 'Bearer open sesame' })).toMatchObject({ status: 200 })
})

test('idle sockets are refused beyond the caps, and cost those who greet nothing', async () => {
  const clock = new TestClock()
  await using broker = await createBroker({ store, clock, greetings: { total: 50, perAddress: 40 } })
  const mesh = new TestMesh(broker.url, clock)
  const idle = await Promise.all(Array.from({ length: 39 }, () => dial(broker.url)))
  const { wire, nonce } = await dial(broker.url)
  await expect(dial(broker.url)).rejects.toThrow('closed')
  expect(await wire.ask(mesh.createFrame(nonce))).toMatchObject({ type: 'mesh_created' })
  clock.advance(10_000)
  for (const { wire: one } of idle) expect((await one.closed).code).toBe(4408)
  await (await dial(broker.url)).wire[Symbol.asyncDispose]()
})

test('a peer that neither reads nor answers pings is let go', async () => {
  const clock = new TestClock()
  await using broker = await createBroker({ store, clock })
  const mesh = await new TestMesh(broker.url, clock).create()
  const [alice, bob] = [await mesh.peer('Alice'), await mesh.peer('Bob')]
  bob.wire.ws.pause()
  for (let i = 0; i < 4; i++) {
    clock.advance(30_000)
    await alice.wire.ask({ type: 'get_policy' })
    await new Promise((resolve) => alice.wire.ws.ping('', true, resolve))
    await alice.wire.ask({ type: 'get_policy' })
  }
  expect(broker.figures().sessions).toBe(1)
  bob.wire.ws.resume()
  await alice[Symbol.asyncDispose]()
})

test('a request that never ends is answered with a timeout by the server', async () => {
  await using broker = await createBroker({ store, clock: new TestClock() })
  const socket = connect(broker.port, '127.0.0.1')
  socket.write('GET /healthz HTTP/1.1\r\nhost: x\r\nx-slow: ')
  const [data] = (await once(socket, 'data')) as [Buffer]
  expect(data.toString()).toMatch(/^HTTP\/1\.1 408 /)
  if (!socket.closed) await once(socket, 'close')
}, 20_000)

test('a mesh has 256 groups and no more', async () => {
  const clock = new TestClock()
  await using broker = await createBroker({ store, clock })
  const mesh = await new TestMesh(broker.url, clock).create()
  const groups = (from: number) => Array.from({ length: 32 }, (_, i) => ({ name: `group-${from + i}` }))
  const peers = []
  for (let i = 0; i < 8; i++) peers.push(await mesh.peer(`Peer ${i}`, { groups: groups(32 * i) }))
  await expect(mesh.peer('One more', { groups: [{ name: 'another' }] })).rejects.toThrow('quota_exceeded')
  const member = await mesh.peer('Joiner', { groups: [{ name: 'group-7' }] })
  member.groups = [{ name: 'group-7' }, { name: 'another' }]
  expect(await member.wire.ask({ type: 'join_group', name: 'another', presence: member.presence() })).toMatchObject({ code: 'quota_exceeded' })
  for (const peer of [...peers, member]) await peer[Symbol.asyncDispose]()
})
