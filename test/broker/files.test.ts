import { randomBytes } from 'node:crypto'
import { request } from 'node:http'
import type { Meter } from '@claudemesh/broker'
import type { Blob } from '@claudemesh/broker/ports'
import { sessionKey } from '@claudemesh/crypto'
import { openBlob } from '@claudemesh/drivers'
import { MeshError, limits, times } from '@claudemesh/protocol'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { postgresUrl } from '../harness/postgres.ts'
import { verifies } from '../harness/verifies.ts'
import { attached, authorization, fileId, get, http, packed, put, record, shared, uploaded } from './file-kit.ts'
import { random, testBroker, TestMesh, type Frame, type Peer } from './kit.ts'

const notFound = { status: 404, body: { code: 'not_found' } }

describe.each([
  ['PGlite', (): Promise<string> => Promise.resolve('pglite:')],
  ['PostgreSQL', (): Promise<string> => postgresUrl(inject('postgres'))],
] as const)('on %s', (_, store) => {
  let blob: Blob
  let broker: Awaited<ReturnType<typeof testBroker>>
  let mesh: TestMesh
  let alice: Peer
  let bob: Peer
  let carol: Peer

  beforeAll(async () => {
    blob = await openBlob('file:')
    broker = await testBroker(await store(), { blob, fileQuota: 4_000_000 })
    mesh = await new TestMesh(broker.url, broker.clock).create()
    alice = await mesh.peer('Alice', { member: await mesh.enrolled('Anna') })
    bob = await mesh.peer('Bob', { member: await mesh.enrolled('Ben') })
    carol = await mesh.peer('Carol', { member: await mesh.enrolled('Cora') })
  })
  afterAll(async () => {
    for (const peer of [alice, bob, carol]) await peer[Symbol.asyncDispose]()
    await broker[Symbol.asyncDispose]()
    await blob[Symbol.asyncDispose]()
  })

  const upload = (peer: Peer, fields: object) => peer.wire.ask({ type: 'upload_file', kind: 'shared', size: 100, ...fields })
  const finish = (peer: Peer, id: string, fields: object) => peer.wire.ask({ type: 'finish_file', fileId: id, ...fields })
  const status = (peer: Peer, id: string) => peer.wire.ask({ type: 'file_status', fileId: id })

  describe('a shared file', () => {
    test('is there for every member once it is finished, and for nobody before', async () => {
      const object = randomBytes(70_000)
      const id = await uploaded(alice, 'shared', object)
      expect(await get(bob, id)).toMatchObject(notFound)
      expect(await get(alice, id)).toMatchObject(notFound)
      expect(await finish(alice, id, { record: record() })).toMatchObject({ type: 'ok' })
      for (const peer of [alice, bob, carol]) expect((await get(peer, id)).body).toEqual(object)
    })

    test('is listed with its record and its writer’s certificates', async () => {
      const id = await uploaded(alice, 'shared')
      const sealed = record()
      await finish(alice, id, { record: sealed })
      const list = await bob.wire.ask({ type: 'list_files' })
      const row = (list['files'] as { fileId: string; record: object; chain: number[]; size: number }[]).find((file) => file.fileId === id)
      expect(row).toMatchObject({ record: sealed, size: 1000 })
      expect(row?.chain.map((index) => (list['tokens'] as string[])[index])).toEqual(alice.chain)
    })

    test('goes page by page', async () => {
      const fresh = await new TestMesh(broker.url, broker.clock).create()
      await using peer = await fresh.peer('Dora')
      const ids: string[] = []
      for (let i = 0; i <= limits.filesPerPage; i++) ids.push(await shared(peer, randomBytes(45)))
      const first = await peer.wire.ask({ type: 'list_files' })
      const rest = await peer.wire.ask({ type: 'list_files', after: first['next'] })
      expect([...(first['files'] as Frame[]), ...(rest['files'] as Frame[])].map((file) => file['fileId'])).toEqual(ids)
      expect(rest['next']).toBeUndefined()
      const newest = await peer.wire.ask({ type: 'list_files', order: 'newest' })
      const oldest = await peer.wire.ask({ type: 'list_files', order: 'newest', after: newest['next'] })
      expect([...(newest['files'] as Frame[]), ...(oldest['files'] as Frame[])].map((file) => file['fileId'])).toEqual(ids.toReversed())
      expect(oldest['next']).toBeUndefined()
    })

    test('needs a manifest and takes no recipients', async () => {
      const id = await uploaded(alice, 'shared')
      expect(await finish(alice, id, {})).toMatchObject({ code: 'bad_frame' })
      expect(await finish(alice, id, { record: record(), to: bob.key })).toMatchObject({ code: 'bad_frame' })
    })

    test('is deleted by its uploader’s member or an admin, and by nobody else', async () => {
      const [one, two] = [await shared(alice), await shared(alice)]
      expect(await bob.wire.ask({ type: 'delete_file', fileId: one })).toMatchObject({ code: 'forbidden' })
      expect(await alice.wire.ask({ type: 'delete_file', fileId: one })).toMatchObject({ type: 'ok' })
      await using admin = await mesh.peer('Root')
      expect(await admin.wire.ask({ type: 'delete_file', fileId: two })).toMatchObject({ type: 'ok' })
      for (const id of [one, two]) expect(await get(alice, id)).toMatchObject(notFound)
      expect(await alice.wire.ask({ type: 'delete_file', fileId: one })).toMatchObject({ code: 'not_found' })
      const listed = (await bob.wire.ask({ type: 'list_files' }))['files'] as Frame[]
      expect(listed.filter((file) => file['fileId'] === one || file['fileId'] === two)).toEqual([])
    })

    test('says who downloaded it, and when first', async () => {
      const id = await shared(alice)
      expect(await status(carol, id)).toMatchObject({ readers: [] })
      await get(bob, id)
      await bob.wire.ask({ type: 'file_received', fileId: id })
      const at = broker.clock.now()
      broker.clock.advance(1000)
      await bob.wire.ask({ type: 'file_received', fileId: id })
      expect(await status(carol, id)).toMatchObject({ readers: [{ sessionPubkey: bob.key, name: 'Bob', readAt: at }] })
    })

    test('a download is noted although its reader says nothing', async () => {
      const id = await shared(alice)
      await get(bob, id)
      // The note follows the last byte: a second request of the same session cannot overtake it for long.
      let readers: unknown[] = []
      while (readers.length === 0) readers = (await status(carol, id))['readers'] as unknown[]
      expect(readers).toMatchObject([{ sessionPubkey: bob.key }])
    })
  })

  describe('an attachment', () => {
    test('is for the sessions named, for other sessions of their members, and for its sender’s member', async () => {
      verifies('files.access')
      const id = await attached(alice, [bob.key])
      await using later = await mesh.peer('Bob2', { member: bob.member })
      for (const peer of [bob, later, alice]) expect((await get(peer, id)).status).toBe(200)
      expect(await get(carol, id)).toMatchObject(notFound)
    })

    test('naming more recipients lets them in, too', async () => {
      const id = await attached(alice, [bob.key])
      expect(await finish(alice, id, { to: carol.key })).toMatchObject({ type: 'ok' })
      for (const peer of [bob, carol]) expect((await get(peer, id)).status).toBe(200)
    })

    test('its status tells its sender who has it and who has not; others learn nothing', async () => {
      const id = await attached(alice, [bob.key, carol.key])
      await bob.wire.ask({ type: 'file_received', fileId: id })
      expect(await status(alice, id)).toMatchObject({ readers: [{ name: 'Bob', readAt: broker.clock.now() }, { name: 'Carol' }] })
      expect(await status(bob, id)).toMatchObject({ code: 'not_found' })
    })

    test('for a member who is away is for the member’s sessions to come, as long as mail is kept', async () => {
      const dora = await mesh.enrolled('Dora')
      const id = await uploaded(alice, 'mail')
      expect(await finish(alice, id, { to: packed([bob.key, dora.key.publicKey]), members: 1, targetSpec: bob.key })).toMatchObject({ type: 'ok' })
      expect(await status(alice, id)).toMatchObject({ readers: [{ name: 'Bob' }, { name: 'Dora', sessionPubkey: dora.key.publicKey }] })
      await using hers = await mesh.peer('Dora’s', { member: dora })
      expect((await get(hers, id)).status).toBe(200)
      expect(await get(carol, id)).toMatchObject(notFound)
      await hers.wire.ask({ type: 'file_received', fileId: id })
      expect(await status(alice, id)).toMatchObject({ readers: [{ name: 'Dora’s', readAt: broker.clock.now() }, { name: 'Bob' }] })
    })

    test('a member’s key that nobody has is passed over, and more members than keys are refused', async () => {
      const id = await uploaded(alice, 'attachment')
      expect(await finish(alice, id, { to: bob.key, members: 2 })).toMatchObject({ code: 'bad_recipients' })
      expect(await finish(alice, id, { to: packed([bob.key, sessionKey(random(32)).publicKey]), members: 1 })).toMatchObject({ type: 'ok' })
      expect((await status(alice, id))['readers']).toMatchObject([{ name: 'Bob' }])
    })

    test('is not deleted by a recipient, and does not exist for a stranger', async () => {
      const id = await attached(alice, [bob.key])
      expect(await bob.wire.ask({ type: 'delete_file', fileId: id })).toMatchObject({ code: 'forbidden' })
      expect(await carol.wire.ask({ type: 'delete_file', fileId: id })).toMatchObject({ code: 'not_found' })
      expect(await carol.wire.ask({ type: 'file_received', fileId: id })).toMatchObject({ code: 'not_found' })
    })

    test('needs recipients and takes no manifest', async () => {
      const id = await uploaded(alice, 'attachment')
      expect(await finish(alice, id, {})).toMatchObject({ code: 'bad_frame' })
      expect(await finish(alice, id, { to: bob.key, record: record() })).toMatchObject({ code: 'bad_frame' })
      expect(await finish(alice, id, { to: alice.key })).toMatchObject({ code: 'bad_recipients' })
    })

    test('sessions of nobody are passed over', async () => {
      const id = await attached(alice, [bob.key, sessionKey(random(32)).publicKey])
      expect(((await status(alice, id))['readers'] as Frame[]).map((reader) => reader['name'])).toEqual(['Bob'])
    })
  })

  describe('an upload', () => {
    test('goes on where it was cut, and nowhere else', async () => {
      const object = randomBytes(1000)
      const id = fileId()
      expect(await upload(alice, { fileId: id, size: 1000 })).toMatchObject({ offset: 0 })
      expect(await put(alice, id, object.subarray(0, 400))).toMatchObject({ status: 200, body: { offset: 400 } })
      expect(await put(alice, id, object.subarray(500), 500)).toMatchObject({ status: 409, body: { code: 'wrong_offset' } })
      expect(await finish(alice, id, { record: record() })).toMatchObject({ code: 'upload_incomplete' })
      expect(await upload(alice, { fileId: id, size: 1000 })).toMatchObject({ offset: 400 })
      expect(await put(alice, id, object.subarray(400), 400)).toMatchObject({ status: 200, body: { offset: 1000 } })
      await finish(alice, id, { record: record() })
      expect((await get(bob, id)).body).toEqual(object)
    })

    test('that lies about its size gets no byte beyond it', async () => {
      const id = fileId()
      await upload(alice, { fileId: id, size: 100 })
      expect(await put(alice, id, randomBytes(101))).toMatchObject({ status: 413, body: { code: 'too_large' } })
      expect(await put(alice, id, randomBytes(1), 100)).toMatchObject({ status: 413 })
    })

    test('is its session’s alone', async () => {
      const id = fileId()
      await upload(alice, { fileId: id })
      expect(await upload(bob, { fileId: id })).toMatchObject({ code: 'not_found' })
      expect(await put(bob, id, randomBytes(100))).toMatchObject(notFound)
      expect(await finish(bob, id, { record: record() })).toMatchObject({ code: 'not_found' })
      expect(await bob.wire.ask({ type: 'delete_file', fileId: id })).toMatchObject({ code: 'not_found' })
      expect(await alice.wire.ask({ type: 'delete_file', fileId: id })).toMatchObject({ type: 'ok' })
    })

    test('is not announced again as another one', async () => {
      const id = fileId()
      await upload(alice, { fileId: id })
      expect(await upload(alice, { fileId: id, size: 101 })).toMatchObject({ code: 'not_found' })
      expect(await upload(alice, { fileId: id, kind: 'attachment' })).toMatchObject({ code: 'not_found' })
    })

    test('once finished, its bytes stay', async () => {
      const id = await shared(alice)
      expect(await put(alice, id, randomBytes(1000))).toMatchObject(notFound)
      expect(await upload(alice, { fileId: id, size: 1000 })).toMatchObject({ offset: 1000 })
    })

    test('of an impossible size or id is no frame', async () => {
      for (const fields of [
        { size: 44 },
        { size: limits.object + 1 },
        { size: 1.5 },
        { size: -1 },
        { fileId: '../../x' },
        { fileId: 'f_A' },
        { kind: 'other' },
      ])
        expect(await upload(alice, { fileId: fileId(), ...fields })).toMatchObject({ type: 'error' })
    })
  })

  test('when the quota is reached, nothing more is taken until something is deleted', async () => {
    const fresh = await new TestMesh(broker.url, broker.clock).create()
    await using peer = await fresh.peer('Dora')
    const full = fileId()
    expect(await upload(peer, { fileId: full, size: 4_000_000 })).toMatchObject({ offset: 0 })
    const refused = await upload(peer, { fileId: fileId(), size: 45 })
    expect(refused).toMatchObject({ code: 'quota_exceeded', message: expect.stringContaining('4000000') })
    await peer.wire.ask({ type: 'delete_file', fileId: full })
    expect(await upload(peer, { fileId: fileId(), size: 45 })).toMatchObject({ offset: 0 })
  })

  test('two announcements at once cannot both take the last room', async () => {
    const fresh = await new TestMesh(broker.url, broker.clock).create()
    await using one = await fresh.peer('Dora')
    await using two = await fresh.peer('Emil')
    const answers = await Promise.all([one, two].map((peer) => upload(peer, { fileId: fileId(), size: 3_000_000 })))
    expect(answers.map((answer) => `${answer.type} ${JSON.stringify(answer['code'])}`).toSorted()).toEqual(['error "quota_exceeded"', 'upload undefined'])
  })

  describe('an HTTP request', () => {
    let id: string
    beforeAll(async () => {
      id = await shared(alice)
    })
    const path = () => `/v1/file/${id}`
    const refused = { status: 401, body: { code: 'unauthorized' } }

    test('without a signature, or with one that does not verify, is refused', async () => {
      const good = authorization(bob, 'GET', path())
      for (const bad of ['', 'CM1', 'CM1 a.b', 'Bearer x', `${good}A`, good.replace('CM1 ', 'cm1 ')])
        expect(await http(bob, 'GET', path(), { headers: { authorization: bad } })).toMatchObject(refused)
    })

    test('signed for another method, path or size is refused', async () => {
      for (const signed of [{ method: 'HEAD' as const }, { path: `/v1/file/${fileId()}` }, { path: `${path()}?x` }, { size: 1 }])
        expect(await http(bob, 'GET', path(), { signed })).toMatchObject(refused)
    })

    test('signed for another broker, or by a clock that is off, says so', async () => {
      expect(await http(bob, 'GET', path(), { signed: { aud: 'ws://evil.example' } })).toMatchObject({ status: 401, body: { code: 'bad_audience' } })
      for (const off of [times.skew + 1, -times.skew - 1])
        expect(await http(bob, 'GET', path(), { signed: { ts: broker.clock.now() + off } })).toMatchObject({ status: 401, body: { code: 'clock_skew' } })
    })

    test('of a session that is not in the mesh looks like one that was never signed', async () => {
      const stranger = sessionKey(random(32))
      expect(await http(bob, 'GET', path(), { signed: { session: stranger } })).toEqual(
        await http(bob, 'GET', path(), { signed: { mesh: 'a'.repeat(32) as never } }),
      )
      expect(await http(bob, 'GET', path(), { signed: { session: stranger } })).toMatchObject(refused)
    })

    test('of a session that left is refused', async () => {
      const guest = await mesh.peer('Guest')
      guest.wire.send({ type: 'bye' })
      await guest.wire.closed
      expect(await http(guest, 'GET', path())).toMatchObject(refused)
    })

    test('is taken once', async () => {
      const headers = { authorization: authorization(bob, 'GET', path()) }
      expect((await http(bob, 'GET', path(), { headers })).status).toBe(200)
      expect(await http(bob, 'GET', path(), { headers })).toMatchObject(refused)
    })

    test('of a web page that nobody allowed is refused', async () => {
      expect(await get(bob, id, { origin: 'https://evil.example' })).toMatchObject({ status: 403, body: { code: 'forbidden' } })
    })

    test('with another method is none of ours', async () => {
      const answer = await fetch(broker.url.replace('ws:', 'http:') + path(), { method: 'POST', body: 'x' })
      expect(answer.status).toBe(405)
    })

    test('gets ciphertext that no browser would show or keep', async () => {
      const answer = await fetch(broker.url.replace('ws:', 'http:') + path(), { headers: { authorization: authorization(bob, 'GET', path()) } })
      await answer.arrayBuffer()
      expect(Object.fromEntries(answer.headers)).toMatchObject({
        'content-type': 'application/octet-stream',
        'content-disposition': 'attachment',
        'x-content-type-options': 'nosniff',
        'cache-control': 'no-store',
        'content-security-policy': "default-src 'none'; sandbox",
      })
      expect(answer.headers.get('access-control-allow-origin')).toBeNull()
    })

    test('asks for the rest of an object, or for its size', async () => {
      const object = randomBytes(1000)
      const file = await shared(alice, object)
      const rest = await get(bob, file, { range: 'bytes=400-' })
      expect(rest).toMatchObject({ status: 206 })
      expect(rest.body).toEqual(object.subarray(400))
      expect(await get(bob, file, { range: 'bytes=1000-' })).toMatchObject({ status: 409, body: { code: 'wrong_offset' } })
      expect(await get(bob, file, { range: 'bytes=0-1,5-9' })).toMatchObject({ status: 400 })
      expect((await http(bob, 'HEAD', `/v1/file/${file}`)).status).toBe(200)
    })
  })

  test('bodies of unknown length and crooked offsets are refused', async () => {
    const id = fileId()
    await upload(alice, { fileId: id })
    for (const query of ['', '?offset=', '?offset=-1', '?offset=1e3', '?offset=0x1', '?offset=0&x=1'])
      expect((await http(alice, 'PUT', `/v1/file/${id}${query}`, { body: randomBytes(10) })).status, query).toBe(400)
    const path = `/v1/file/${id}?offset=0`
    const body = new ReadableStream({
      start: (controller) => {
        controller.enqueue(new Uint8Array(10))
        controller.close()
      },
    })
    const answer = await fetch(broker.url.replace('ws:', 'http:') + path, {
      method: 'PUT',
      headers: { authorization: authorization(alice, 'PUT', path) },
      body,
      duplex: 'half',
    })
    expect([answer.status, ((await answer.json()) as { code: string }).code]).toEqual([400, 'bad_frame'])
  })

  test('recipients beyond the limit are too many', async () => {
    const id = await uploaded(alice, 'attachment')
    const keys = Array.from({ length: limits.recipients + 1 }, () => random(32)).map((key) => Buffer.from(key).toString('base64url'))
    expect(await finish(alice, id, { to: packed(keys) })).toMatchObject({ type: 'error' })
  })
})

test('a broker without a place for files says so', async () => {
  await using broker = await testBroker('pglite:')
  const mesh = await new TestMesh(broker.url, broker.clock).create()
  await using alice = await mesh.peer('Alice')
  expect(await alice.wire.ask({ type: 'upload_file', fileId: fileId(), kind: 'shared', size: 45 })).toMatchObject({
    code: 'storage_unavailable',
    message: 'this broker keeps no files',
  })
})

test('a storage that fails in the middle is named at once, keeps what is safe, and the upload goes on when it is back', async () => {
  await using disk = await openBlob('file:')
  const faults = [new MeshError('storage_full'), new MeshError('storage_unavailable')]
  const blob: Blob = {
    upload: (...args) => disk.upload(...args),
    append: (key, size, offset, body) => disk.append(key, size, offset, failing(body, faults)),
    finish: (...args) => disk.finish(...args),
    read: (...args) => disk.read(...args),
    remove: (...args) => disk.remove(...args),
    sweep: (...args) => disk.sweep(...args),
    [Symbol.asyncDispose]: async () => {},
  }
  await using broker = await testBroker('pglite:', { blob })
  const mesh = await new TestMesh(broker.url, broker.clock).create()
  await using alice = await mesh.peer('Alice')
  const object = randomBytes(3_000_000)
  const id = fileId()
  const announce = async () => Number((await alice.wire.ask({ type: 'upload_file', fileId: id, kind: 'shared', size: object.length }))['offset'])
  for (const [status, code] of [
    [507, 'storage_full'],
    [503, 'storage_unavailable'],
  ]) {
    const offset = await announce()
    expect(await put(alice, id, object.subarray(offset), offset)).toMatchObject({ status, body: { code }, headers: '5' })
  }
  const offset = await announce()
  expect(offset).toBeGreaterThan(0)
  expect(await put(alice, id, object.subarray(offset), offset)).toMatchObject({ status: 200, body: { offset: object.length } })
  await alice.wire.ask({ type: 'finish_file', fileId: id, record: record() })
  expect((await get(alice, id)).body).toEqual(object)
})

test('an upload that is cut after more than an hour goes on where it was: only one that nobody goes on with is given up', async () => {
  await using blob = await openBlob('file:')
  const [came, cut] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  const meter: Meter = { count: (name) => (name === 'blob_bytes' ? came.resolve() : undefined), observe: () => {} }
  await using broker = await testBroker('pglite:', { blob, meter, log: (_, event) => (event === 'upload_cut' ? cut.resolve() : undefined) })
  const mesh = await new TestMesh(broker.url, broker.clock).create()
  await using alice = await mesh.peer('Alice')
  const [id, forgotten, size] = [fileId(), fileId(), 3_000_000]
  const announce = (fileId: string) => alice.wire.ask({ type: 'upload_file', fileId, kind: 'shared', size })
  const minute = async () => {
    broker.clock.advance(60_000)
    // Answered by the store, after what it was asked before.
    await alice.wire.ask({ type: 'file_status', fileId: id })
  }
  await announce(id)
  const path = `/v1/file/${id}?offset=0`
  const headers = { authorization: authorization(alice, 'PUT', path, { body: Buffer.alloc(size) }), 'content-length': size }
  const uploading = request(broker.url.replace('ws:', 'http:') + path, { method: 'PUT', headers })
  uploading.on('error', () => {})
  uploading.write(randomBytes(size / 2))
  await came.promise
  for (let passed = 0; passed < 90; passed++) {
    if (passed === 35) await announce(forgotten)
    await minute()
  }
  uploading.destroy()
  await cut.promise
  while ((await announce(forgotten)).type === 'upload') await minute()
  const { offset } = await announce(id)
  expect(offset).toBe(size / 2)
})

/** Passes a megabyte on, then throws the next fault, if there is one left. */
async function* failing(body: AsyncIterable<Uint8Array>, faults: MeshError[]): AsyncGenerator<Uint8Array> {
  let passed = 0
  for await (const piece of body) {
    if (passed > 1_000_000 && faults.length > 0) throw faults.shift()
    passed += piece.length
    yield piece
  }
}
