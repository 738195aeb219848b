import { requests } from '@claudemesh/protocol'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openBlob } from '@claudemesh/drivers'
import { attached, fileId, http, shared } from './file-kit.ts'
import { b64u, Peer, testBroker, TestMesh, type Frame } from './kit.ts'

// Two meshes with the same names; whatever one of them is asked with ids of the other looks as if they did not exist.
let blob: Awaited<ReturnType<typeof openBlob>>
let broker: Awaited<ReturnType<typeof testBroker>>
let mine: TestMesh
let theirs: TestMesh
let me: Peer
let friend: Peer
let alice: Peer
let bob: Peer
let theirMessage: string
const theirKey = b64u(16)
const sealed = () => ({ e: 1, n: b64u(24), c: b64u(300) })
const [theirMemory, theirForgotten] = [b64u(16), b64u(16)]
let theirFiles: { shared: string; attachment: string }

beforeAll(async () => {
  blob = await openBlob('file:')
  broker = await testBroker('pglite:', { blob })
  mine = await new TestMesh(broker.url, broker.clock).create()
  theirs = await new TestMesh(broker.url, broker.clock).create()
  me = await mine.peer('Alice')
  friend = await mine.peer('Bob', { groups: [{ name: 'frontend' }] })
  alice = await theirs.peer('Alice')
  bob = await theirs.peer('Bob', { groups: [{ name: 'frontend' }] })
  theirMessage = (await alice.send([bob.key], 'secret', { targetSpec: '*', shared: true }))['messageId'] as string
  await bob.wire.next('push')
  await alice.wire.ask({ type: 'set_state', version: 1, stateId: theirKey, record: sealed() })
  await bob.wire.next('state_change')
  for (const memoryId of [theirMemory, theirForgotten]) await alice.wire.ask({ type: 'remember', memoryId, record: { e: 1, n: b64u(24), c: b64u(64) } })
  theirFiles = { shared: await shared(alice), attachment: await attached(alice, [bob.key]) }
})
afterAll(async () => {
  for (const peer of [me, friend, alice, bob]) await peer[Symbol.asyncDispose]()
  await broker[Symbol.asyncDispose]()
  await blob[Symbol.asyncDispose]()
})

const unknown = () => new Peer(mine, { name: 'Nobody' }).key

/** For each request: the same with an id of the other mesh, and with one that exists nowhere. */
const attempts: Record<string, (other: boolean) => Promise<Frame> | Frame> = {
  send: async (other) => strip(await me.send([other ? bob.key : unknown()], 'hello'), ['gone', 'messageId', 'id']),
  send_more: (other) => me.wire.ask({ type: 'send_more', id: 'a', messageId: other ? theirMessage : b64u(16), to: friend.key, wraps: b64u(88) }),
  message_status: (other) => me.wire.ask({ type: 'message_status', id: 'a', messageId: other ? theirMessage : b64u(16) }),
  receipt: async (other) => {
    me.wire.send({ type: 'receipt', received: [other ? theirMessage : b64u(16)], failed: [] })
    return me.wire.ask({ type: 'get_policy', id: 'a' })
  },
  list_peers: (other) => me.wire.ask({ type: 'list_peers', id: 'a', ...(other ? { meshId: theirs.id } : {}) }),
  list_members: (other) => me.wire.ask({ type: 'list_members', id: 'a', ...(other ? { meshId: theirs.id } : {}) }),
  join_group: async (other) => strip(await me.wire.ask({ type: 'join_group', id: 'a', name: 'x', presence: other ? alice.presence() : 'a.b' }), ['message']),
  leave_group: async (other) => strip(await me.wire.ask({ type: 'leave_group', id: 'a', name: 'x', presence: other ? alice.presence() : 'a.b' }), ['message']),
  set_summary: async (other) =>
    strip(await me.wire.ask({ type: 'set_summary', id: 'a', summary: '', presence: other ? alice.presence() : 'a.b' }), ['message']),
  set_status: (other) => me.wire.ask({ type: 'set_status', id: 'a', status: 'idle', ...(other ? { meshId: theirs.id, sessionPubkey: bob.key } : {}) }),
  get_policy: (other) => me.wire.ask({ type: 'get_policy', id: 'a', ...(other ? { meshId: theirs.id } : {}) }),
  set_policy: async (other) => strip(await me.wire.ask({ type: 'set_policy', id: 'a', policy: other ? theirs.makePolicy(2) : 'a.b' }), ['message']),
  create_invite: async (other) =>
    strip(await me.wire.ask({ type: 'create_invite', id: 'a', chain: other ? theirs.invite().chain : ['a.b', 'a.b'] }), ['message']),
  list_invites: (other) => me.wire.ask({ type: 'list_invites', id: 'a', ...(other ? { meshId: theirs.id } : {}) }),
  put_keyboxes: (other) =>
    me.wire.ask({
      type: 'put_keyboxes',
      id: 'a',
      epoch: 1,
      mk: b64u(32),
      boxes: [{ reader: other ? theirs.admin.publicKey : b64u(32), n: b64u(24), c: b64u(64) }],
    }),
  get_keyboxes: (other) => me.wire.ask({ type: 'get_keyboxes', id: 'a', ...(other ? { meshId: theirs.id } : {}) }),
  list_backs: (other) => me.wire.ask({ type: 'list_backs', id: 'a', before: 9, ...(other ? { meshId: theirs.id } : {}) }),
  request_key: (other) => me.wire.ask({ type: 'request_key', id: 'a', ...(other ? { meshId: theirs.id } : {}) }),
  set_state: (other) => me.wire.ask({ type: 'set_state', id: 'a', version: 2, stateId: other ? theirKey : b64u(16), record: sealed() }),
  get_state: (other) => me.wire.ask({ type: 'get_state', id: 'a', stateId: other ? theirKey : b64u(16) }),
  list_state: (other) => me.wire.ask({ type: 'list_state', id: 'a', ...(other ? { meshId: theirs.id } : {}) }),
  delete_state: (other) => me.wire.ask({ type: 'delete_state', id: 'a', version: 2, stateId: other ? theirKey : b64u(16), record: sealed() }),
  hello: async (other) => strip(await me.wire.ask({ ...new Peer(other ? theirs : mine, { name: 'x' }).helloFrame(b64u(32)), id: 'a' }), []),
  enrol: async (other) => me.wire.ask({ ...(other ? theirs : mine).enrolFrame(b64u(32), mine.founder), id: 'a' }),
  create_mesh: async (other) => me.wire.ask({ ...(other ? theirs : mine).createFrame(b64u(32)), id: 'a' }),
  remember: async (other) => {
    const memoryId = other ? theirMemory : b64u(16)
    return strip(await me.wire.ask({ type: 'remember', id: 'a', memoryId, record: { e: 1, n: b64u(24), c: b64u(64) } }), ['memoryId'])
  },
  forget: (other) => me.wire.ask({ type: 'forget', id: 'a', memoryId: other ? theirForgotten : b64u(16), record: { e: 1, n: b64u(24), c: b64u(64) } }),
  recall: (other) => me.wire.ask({ type: 'recall', id: 'a', query: theirs.id, ...(other ? { meshId: theirs.id } : {}) }),
  sync_memories: async (other) => {
    const page = await me.wire.ask({ type: 'sync_memories', id: 'a', after: 0, ...(other ? { meshId: theirs.id } : {}) })
    expect((page['memories'] as { memoryId: string }[]).map(({ memoryId }) => memoryId)).not.toContain(theirForgotten)
    return page
  },
  upload_file: async (other) => {
    // An id is its mesh's own: the same one over there is another file.
    const file = other ? theirFiles.shared : fileId()
    const answer = await me.wire.ask({ type: 'upload_file', id: 'a', fileId: file, kind: 'shared', size: 45 })
    await me.wire.ask({ type: 'delete_file', fileId: file })
    return answer
  },
  finish_file: (other) => me.wire.ask({ type: 'finish_file', id: 'a', fileId: other ? theirFiles.attachment : fileId(), to: friend.key }),
  list_files: (other) => me.wire.ask({ type: 'list_files', id: 'a', ...(other ? { meshId: theirs.id } : {}) }),
  file_received: (other) => me.wire.ask({ type: 'file_received', id: 'a', fileId: other ? theirFiles.shared : fileId() }),
  file_status: (other) => me.wire.ask({ type: 'file_status', id: 'a', fileId: other ? theirFiles.shared : fileId() }),
  delete_file: (other) => me.wire.ask({ type: 'delete_file', id: 'a', fileId: other ? theirFiles.shared : fileId() }),
  bye: async (other) => {
    const guest = await mine.peer('Guest')
    guest.wire.send({ type: 'bye', ...(other ? { sessionPubkey: bob.key, meshId: theirs.id } : {}) })
    return { type: 'closed', ...(await guest.wire.closed) }
  },
}

function strip(frame: Frame, fields: string[]): Frame {
  return Object.fromEntries(Object.entries(frame).filter(([name]) => !fields.includes(name))) as Frame
}

test('every request of the contract is tried', () => {
  expect(Object.keys(attempts).toSorted()).toEqual([...requests.keys()].toSorted())
})

test.each(Object.keys(attempts))('%s with ids of another mesh answers as with ids of none', async (type) => {
  const attempt = attempts[type] as (other: boolean) => Promise<Frame>
  expect(await attempt(true)).toEqual(await attempt(false))
})

test.each(['GET', 'HEAD', 'PUT'] as const)('%s of a file of another mesh answers as for a file of none', async (method) => {
  for (const id of Object.values(theirFiles)) {
    const path = (file: string) => `/v1/file/${file}${method === 'PUT' ? '?offset=0' : ''}`
    const body = method === 'PUT' ? { body: new Uint8Array(10) } : {}
    const [other, none] = [await http(me, method, path(id), body), await http(me, method, path(fileId()), body)]
    expect(other).toEqual(none)
    expect(other.status).toBe(404)
  }
})

test('and nothing changed over there', async () => {
  const list = await alice.wire.ask({ type: 'list_peers' })
  expect((list['peers'] as Frame[]).map((peer) => peer['sessionPubkey'])).toEqual([alice.key, bob.key].toSorted())
  expect(await alice.wire.ask({ type: 'message_status', messageId: theirMessage })).toMatchObject({ recipients: [{ sessionPubkey: bob.key, rung: 'stored' }] })
  expect(await alice.wire.ask({ type: 'get_policy' })).toMatchObject({ policy: theirs.policy })
  expect(await alice.wire.ask({ type: 'get_state', stateId: theirKey })).toMatchObject({ version: 1, writer: alice.key })
  expect([...alice.wire.seen, ...bob.wire.seen].filter((frame) => frame.type === 'state_change')).toHaveLength(1)
  expect(await alice.wire.ask({ type: 'sync_memories', after: 0 })).toMatchObject({
    memories: [
      { memoryId: theirMemory, seq: 1 },
      { memoryId: theirForgotten, seq: 2 },
    ],
  })
  expect(((await alice.wire.ask({ type: 'list_files' }))['files'] as Frame[]).map((file) => file['fileId'])).toEqual([theirFiles.shared])
  expect((await http(bob, 'GET', `/v1/file/${theirFiles.attachment}`)).status).toBe(200)
  for (const peer of [alice, bob]) expect(peer.wire.seen.filter((frame) => frame.type === 'push' && frame['meshId'] !== theirs.id)).toEqual([])
})
