import { createBroker } from '@claudemesh/broker'
import { configFrom, serve } from '@claudemesh/broker-app'
import { openTracing } from '@claudemesh/broker-app/tracing'
import { openBus, openStore } from '@claudemesh/drivers'
import { silent } from '@claudemesh/protocol'
import { expect, inject, test } from 'vitest'
import { knows, peerAt } from '../cluster/cluster.ts'
import { TestClock } from '../harness/clock.ts'
import { Collector } from '../harness/collector.ts'
import { postgresUrl } from '../harness/postgres.ts'
import { get, shared } from './file-kit.ts'
import { TestMesh } from './kit.ts'

const facts = ['mesh', 'session', 'message', 'file', 'node', 'recipients', 'bytes', 'entries', 'status', 'code']

test('what a broker works on is told as spans of ids and counts, and nothing that anybody wrote', async () => {
  await using collector = await Collector.start()
  const env = { STORE_URL: 'pglite:.', PORT: '0', HOST: '127.0.0.1', NODE_ID: 'east-1', BLOB_URL: 'file:.', OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint }
  const config = { ...configFrom(env), storeUrl: 'pglite:', blobUrl: 'file:' }
  const clock = new TestClock()
  const words = ['Alice', 'canary-group', 'canary']
  let [mesh, session, message, file] = ['', '', '', '']
  {
    await using broker = await serve(config, { clock, log: silent })
    const world = await new TestMesh(broker.url, clock).create()
    await using alice = await world.peer('Alice', { groups: [{ name: 'canary-group' }] })
    await using bob = await world.peer('Bob', { member: await world.enrolled() })
    const ack = await alice.send([bob.key], 'canary')
    await bob.wire.next('push')
    bob.receive(ack['messageId'])
    await alice.wire.next('delivery')
    const { ciphertext } = bob.wire.seen.find(({ type }) => type === 'push') as unknown as { ciphertext: string }
    words.push(ciphertext, alice.chain.at(-1) ?? '', alice.presence())
    file = await shared(alice, Buffer.alloc(5000))
    expect(await get(bob, file)).toMatchObject({ status: 200 })
    expect(await bob.wire.ask({ type: 'message_status', messageId: 'A'.repeat(22) })).toMatchObject({ code: 'not_found' })
    ;[mesh, session, message] = [world.id, alice.key, String(ack['messageId'])]
  }
  expect(collector.named('create_mesh')).toHaveLength(1)
  expect(collector.named('enrol')).toHaveLength(1)
  expect(collector.named('hello').map((span) => span.facts)).toContainEqual({ mesh, session })
  const [send] = collector.named('send')
  expect(send).toMatchObject({ node: 'east-1', kind: 2, facts: { mesh, session, message, recipients: 1 } })
  expect(collector.named('store messages')).toMatchObject([{ traceId: send?.traceId, parentSpanId: send?.spanId, facts: { entries: 1 } }])
  expect(collector.named('store receipts')).toMatchObject([{ facts: { entries: 1 } }])
  expect(collector.named('store queue').map((span) => span.facts)).toContainEqual({ mesh, session })
  const [put] = collector.named('PUT /v1/file')
  expect(collector.named('upload')).toMatchObject([{ parentSpanId: put?.spanId, facts: { mesh, file, bytes: 5000, status: 200 } }])
  expect(collector.named('download')).toMatchObject([{ facts: { file, bytes: 5000, status: 200 } }])
  expect(collector.named('message_status')).toMatchObject([{ status: { code: 2 }, facts: { code: 'not_found' } }])
  for (const span of collector.spans) for (const name of Object.keys(span.facts)) expect(facts).toContain(name)
  for (const word of words) expect(collector.raw).not.toContain(word)
})

test('the path of a message over two brokers is one trace', async () => {
  await using collector = await Collector.start()
  await using stack = new AsyncDisposableStack()
  const url = await postgresUrl(inject('postgres'))
  const clock = new TestClock()
  const bus = { ...stack.use(await openBus('local:')), shared: true, [Symbol.asyncDispose]: async () => {} }
  const start = async (node: string) => {
    const { traces } = configFrom({ STORE_URL: url, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: `${collector.endpoint}/v1/traces` })
    if (!traces) throw new Error('there is an endpoint')
    const { tracer } = stack.use(openTracing(traces, { node, version: undefined }))
    return stack.use(await createBroker({ store: stack.use(await openStore(url)), bus, clock, node, tracer }))
  }
  const [a, b] = [await start('a'), await start('b')]
  const mesh = await new TestMesh(a.url, clock).create()
  const [alice, bob, carol] = [await peerAt(a, mesh, 'Alice'), await peerAt(b, mesh, 'Bob'), await peerAt(b, mesh, 'Carol')]
  await knows(alice, carol)
  const { messageId } = await alice.send([bob.key, carol.key], 'hello', { shared: true })
  await bob.wire.next('push')
  for (const peer of [alice, bob, carol]) await peer[Symbol.asyncDispose]()
  await stack.disposeAsync()
  const [send] = collector.named('send')
  const path = collector.spans.filter(({ traceId }) => traceId === send?.traceId)
  const relay = path.find(({ name }) => name === 'relay')
  expect(path.find(({ name }) => name === 'push')).toMatchObject({
    node: 'b',
    kind: 5,
    parentSpanId: relay?.spanId,
    facts: { message: messageId, recipients: 2 },
  })
  expect(relay).toMatchObject({ node: 'a', parentSpanId: send?.spanId, facts: { message: messageId } })
  expect(path.map(({ name }) => name).toSorted()).toEqual(['push', 'relay', 'send', 'store messages'])
})

test('of a share of none nothing is told', async () => {
  await using collector = await Collector.start()
  const config = configFrom({
    STORE_URL: 'pglite:.',
    PORT: '0',
    HOST: '127.0.0.1',
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint,
    OTEL_TRACES_SAMPLER_ARG: '0',
  })
  const clock = new TestClock()
  {
    await using broker = await serve({ ...config, storeUrl: 'pglite:' }, { clock, log: silent })
    const mesh = await new TestMesh(broker.url, clock).create()
    await using alice = await mesh.peer('Alice')
    await using bob = await mesh.peer('Bob')
    await alice.send([bob.key], 'hello')
    await bob.wire.next('push')
  }
  expect(collector.spans).toEqual([])
})

test('one commit of many messages is a part of the first, and linked to the others', async () => {
  await using collector = await Collector.start()
  const config = configFrom({ STORE_URL: 'pglite:.', PORT: '0', HOST: '127.0.0.1', OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint })
  const clock = new TestClock()
  {
    await using broker = await serve({ ...config, storeUrl: 'pglite:' }, { clock, log: silent })
    const mesh = await new TestMesh(broker.url, clock).create()
    await using alice = await mesh.peer('Alice')
    await using bob = await mesh.peer('Bob')
    await Promise.all([1, 2, 3, 4, 5].map(() => alice.send([bob.key], 'hello')))
  }
  const commits = collector.named('store messages').flatMap(({ parentSpanId, links }) => [parentSpanId, ...links.map(({ spanId }) => spanId)])
  const sends = collector.named('send').map(({ spanId }) => spanId)
  expect(commits).toHaveLength(5)
  expect(new Set(commits)).toEqual(new Set(sends))
})

test('a collector that is away costs nobody anything', async () => {
  const { endpoint, ...collector } = await Collector.start().then((running) => ({ endpoint: running.endpoint, end: () => running[Symbol.asyncDispose]() }))
  await collector.end()
  const config = configFrom({ STORE_URL: 'pglite:.', PORT: '0', HOST: '127.0.0.1', OTEL_EXPORTER_OTLP_ENDPOINT: endpoint })
  const clock = new TestClock()
  await using broker = await serve({ ...config, storeUrl: 'pglite:' }, { clock, log: silent })
  const mesh = await new TestMesh(broker.url, clock).create()
  await using alice = await mesh.peer('Alice')
  await using bob = await mesh.peer('Bob')
  expect(await alice.send([bob.key], 'hello')).toMatchObject({ type: 'ack', queued: 1 })
})
