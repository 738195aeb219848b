import { connect } from 'node:net'
import { once } from 'node:events'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { contractVersion, limits } from '@claudemesh/protocol'
import { verifies } from '../harness/verifies.ts'
import { b64u, clientId, dial, testBroker, TestMesh, Wire, type Peer } from './kit.ts'

let broker: Awaited<ReturnType<typeof testBroker>>
let mesh: TestMesh
let witness: Peer

beforeAll(async () => {
  broker = await testBroker('pglite:', { greetings: { perAddress: 20 }, pages: ['https://mesh.example.com'] })
  mesh = await new TestMesh(broker.url, broker.clock).create()
  witness = await mesh.peer('Witness')
})
afterAll(async () => {
  // Whatever the others did: this session did not notice.
  expect(witness.wire.seen.filter((frame) => frame.type === 'error')).toEqual([])
  expect(await witness.wire.ask({ type: 'get_policy' })).toMatchObject({ type: 'policy' })
  await witness[Symbol.asyncDispose]()
  await broker[Symbol.asyncDispose]()
})

const bad = [
  ['no JSON', '{"type":', /not JSON/],
  ['no object', '[1]', /not a JSON object/],
  ['no type', '{"id":"a"}', /no type/],
  ['an unknown type', '{"type":"shout","id":"a"}', /unknown type "shout"/],
  ['a request without id', '{"type":"get_policy"}', /carries an id/],
  ['a field of the wrong form', '{"type":"set_status","id":"a","status":"asleep"}', /set_status\.status/],
  ['too much nesting', `{"type":"get_policy","id":"a","x":${'['.repeat(40)}${']'.repeat(40)}}`, /nested deeper/],
  ['bytes that are not UTF-8', Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x7d]), /UTF-8/],
] as const

test.each(bad)('%s is a bad frame, and the connection goes on', async (_, frame, message) => {
  verifies('wire.error')
  await using peer = await mesh.peer('Alice')
  peer.wire.send(frame)
  expect(await peer.wire.next('error')).toMatchObject({ code: 'bad_frame', message: expect.stringMatching(message) as string })
  expect(await peer.wire.ask({ type: 'get_policy' })).toMatchObject({ type: 'policy' })
})

test('an error repeats the id of its request', async () => {
  await using peer = await mesh.peer('Alice')
  expect(await peer.wire.ask({ type: 'set_status', id: 'mine', status: 1 })).toMatchObject({ type: 'error', id: 'mine' })
})

test('before hello nothing else is answered', async () => {
  const { wire } = await dial(broker.url)
  for (const type of ['list_peers', 'get_policy', 'list_invites']) expect(await wire.ask({ type })).toMatchObject({ code: 'not_ready' })
  await wire[Symbol.asyncDispose]()
})

test('a binary frame ends the connection by name', async () => {
  await using peer = await mesh.peer('Alice')
  peer.wire.ws.send(Buffer.from('{"type":"get_policy","id":"a"}'), { binary: true })
  expect(await peer.wire.next('error')).toMatchObject({ code: 'bad_frame' })
  expect((await peer.wire.closed).code).toBe(4400)
})

test('before hello 16 KiB are enough: more is too large', async () => {
  const { wire } = await dial(broker.url)
  wire.send(JSON.stringify({ type: 'hello', id: 'a', filler: 'x'.repeat(limits.frameBeforeHello) }))
  expect(await wire.next('error')).toMatchObject({ code: 'too_large' })
  expect((await wire.closed).code).toBe(1009)
})

test('after hello a frame of 1 MiB is read, and one byte more is too large', async () => {
  await using peer = await mesh.peer('Alice')
  const frame = (size: number) => {
    const start = '{"type":"get_policy","id":"a","filler":"'
    return `${start}${'x'.repeat(size - start.length - 2)}"}`
  }
  peer.wire.send(frame(limits.frame))
  expect(await peer.wire.next('policy')).toMatchObject({ id: 'a' })
  peer.wire.send(frame(limits.frame + 1))
  expect(await peer.wire.next('error')).toMatchObject({ code: 'too_large' })
  expect((await peer.wire.closed).code).toBe(1009)
})

test('a frame far over the limit is not even read', async () => {
  await using peer = await mesh.peer('Alice')
  peer.wire.send('x'.repeat(4 * limits.frame))
  expect((await peer.wire.closed).code).toBe(1009)
})

test('compression is not negotiated', async () => {
  const { wire } = await dial(broker.url, { perMessageDeflate: true })
  expect(wire.ws.extensions).toBe('')
  await wire[Symbol.asyncDispose]()
})

test('a page of another origin is turned away, an allowed one is not', async () => {
  const foreign = new Wire(broker.url, { origin: 'https://evil.example.com' })
  const [, response] = (await once(foreign.ws, 'unexpected-response')) as [unknown, { statusCode: number; destroy(): void }]
  expect(response.statusCode).toBe(403)
  response.destroy()
  foreign.ws.terminate()
  const { wire } = await dial(broker.url, { origin: 'https://mesh.example.com' })
  await wire[Symbol.asyncDispose]()
})

test('so many connections that prove nothing, and no more, may be open from one address', async () => {
  const open = await Promise.all(Array.from({ length: 20 }, () => dial(broker.url)))
  const refused = new Wire(broker.url)
  const [, response] = (await once(refused.ws, 'unexpected-response')) as [unknown, { statusCode: number; destroy(): void }]
  expect(response.statusCode).toBe(503)
  response.destroy()
  refused.ws.terminate()
  broker.clock.advance(10_000)
  await Promise.all(open.map(({ wire }) => wire.closed))
  const { wire } = await dial(broker.url)
  await wire[Symbol.asyncDispose]()
})

test('HTTP says that it is well, and nothing else that was not asked for', async () => {
  const http = broker.url.replace('ws:', 'http:')
  expect(await (await fetch(`${http}/healthz`)).json()).toEqual({ ok: true, protocol: contractVersion })
  expect((await fetch(`${http}/../etc/passwd`)).status).toBe(404)
  expect((await fetch(`${http}/healthz`, { method: 'POST' })).status).toBe(405)
  const elsewhere = connect(broker.port, '127.0.0.1')
  elsewhere.write(
    'GET /other HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\nsec-websocket-version: 13\r\n\r\n',
  )
  const [answer] = (await once(elsewhere, 'data')) as [Buffer]
  expect(answer.toString()).toMatch(/^HTTP\/1\.1 404 /)
  elsewhere.destroy()
})

test('the tenth garbage frame of many harms nobody', async () => {
  let seed = 20_260_406
  const next = (n: number) => (seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648) % n
  await using peer = await mesh.peer('Fuzz')
  const valid = [
    JSON.stringify({ ...peer.sendFrame([witness.key], 'hello'), to: b64u(32), targetSpec: b64u(32) }),
    JSON.stringify({ type: 'list_peers', id: 'a' }),
    JSON.stringify({ type: 'join_group', id: 'b', name: 'x', presence: peer.presence() }),
    JSON.stringify({ type: 'receipt', received: [clientId()], failed: [{ messageId: clientId(), reason: 'x' }] }),
    JSON.stringify({ type: 'message_status', id: 'c', messageId: clientId() }),
  ]
  for (let i = 0; i < 2000; i++) {
    const frame = Buffer.from(valid[next(valid.length)] as string)
    for (let edits = 1 + next(4); edits > 0; edits--) {
      const at = next(frame.length)
      if (next(3) === 0) frame.copyWithin(at, next(frame.length))
      else frame[at] = next(256)
    }
    peer.wire.send(frame.subarray(0, next(8) === 0 ? next(frame.length) : frame.length))
  }
  expect(await peer.wire.ask({ type: 'get_policy', id: 'after' })).toMatchObject({ type: 'policy' })
  expect(peer.wire.seen.filter((frame) => frame['code'] === 'internal')).toEqual([])
})
