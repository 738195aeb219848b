import { limits, times } from '@claudemesh/protocol'
import { describe, expect, test } from 'vitest'
import { b64u, type Frame, type Peer, type TestMesh } from './kit.ts'
import { onEveryStore } from './world.ts'

const record = (bytes = 300) => ({ e: 1, n: b64u(24), c: b64u(bytes) })
/** Writes a sealed row; the broker cannot tell what is inside. */
const set = (peer: Peer, stateId: string, version: number, more: Record<string, unknown> = {}) =>
  peer.wire.ask({ type: 'set_state', stateId, version, record: record(), ...more })
const remove = (peer: Peer, stateId: string, version: number) => peer.wire.ask({ type: 'delete_state', stateId, version, record: record() })
const get = (peer: Peer, stateId: string) => peer.wire.ask({ type: 'get_state', stateId })

async function list(peer: Peer): Promise<(Frame & { version: number })[]> {
  const entries: (Frame & { version: number })[] = []
  for (let cursor: unknown; ;) {
    const page: Frame = await peer.wire.ask({ type: 'list_state', ...(cursor === undefined ? {} : { cursor }) })
    entries.push(...(page['entries'] as typeof entries))
    cursor = page['next']
    if (cursor === undefined) return entries
  }
}

/** From now on the broker is to keep plain values. */
async function plain(mesh: TestMesh, admin: Peer): Promise<void> {
  mesh.allow = { ...mesh.allow, state: 'plain' }
  await admin.wire.ask({ type: 'set_policy', policy: mesh.makePolicy(2) })
}

onEveryStore((world) => {
  describe('sealed', () => {
    test('a write is stored with its writer’s certificates and told to every peer but the writer', async () => {
      const mesh = await world().mesh()
      await using alice = await mesh.peer('Alice')
      await using second = await mesh.peer('Alice 2')
      await using bob = await mesh.peer('Bob', { member: await mesh.enrolled() })
      const id = b64u(16)
      const sealed = record()
      expect(await set(alice, id, 1, { record: sealed })).toMatchObject({ type: 'ok', version: 1 })
      for (const peer of [second, bob]) {
        const change = await peer.wire.next('state_change')
        expect(change).toMatchObject({ stateId: id, version: 1, record: sealed, writer: alice.key, updatedBy: 'Alice' })
        expect((change['chain'] as number[]).map((i) => (change['tokens'] as string[])[i])).toEqual(alice.chain)
      }
      expect(await get(bob, id)).toMatchObject({ type: 'state_result', stateId: id, version: 1, record: sealed, writer: alice.key })
      expect(alice.wire.seen.filter((frame) => frame.type === 'state_change')).toEqual([])
    })

    test('a version that does not follow is a conflict that tells the present one, and nothing changes', async () => {
      const mesh = await world().mesh()
      await using alice = await mesh.peer('Alice')
      const id = b64u(16)
      expect(await set(alice, id, 2)).toMatchObject({ type: 'error', code: 'version_conflict', version: 0 })
      await set(alice, id, 1)
      await set(alice, id, 2)
      const before = await get(alice, id)
      for (const version of [1, 2, 4]) expect(await set(alice, id, version)).toMatchObject({ type: 'error', code: 'version_conflict', version: 2 })
      expect(await get(alice, id)).toEqual({ ...before, id: expect.any(String) as string })
    })

    test('of writers who all follow one version a single one wins', async () => {
      const mesh = await world().mesh()
      const peers = await Promise.all(Array.from({ length: 8 }, (_, i) => mesh.peer(`Peer ${i}`)))
      const id = b64u(16)
      for (let version = 1; version <= 5; version++) {
        const answers = await Promise.all(peers.map((peer) => set(peer, id, version)))
        expect(answers.filter((answer) => answer.type === 'ok')).toHaveLength(1)
        expect(answers.filter((answer) => answer['code'] === 'version_conflict')).toHaveLength(7)
      }
      for (const peer of peers) await peer[Symbol.asyncDispose]()
    })

    test('a key without a row has only a version', async () => {
      const mesh = await world().mesh()
      await using alice = await mesh.peer('Alice')
      const { id: _, ...answer } = await get(alice, b64u(16))
      expect(answer).toEqual({ type: 'state_result', version: 0, tokens: [] })
    })

    test('a deleted key keeps its row for 30 days, and its version goes on for ever', async () => {
      const mesh = await world().mesh()
      await using alice = await mesh.peer('Alice', { life: times.sessionLifeMax })
      const id = b64u(16)
      for (const version of [1, 2]) await set(alice, id, version)
      expect(await remove(alice, id, 3)).toMatchObject({ type: 'ok', version: 3 })
      expect(await get(alice, id)).toMatchObject({ version: 3, deleted: true })
      expect(await list(alice)).toMatchObject([{ stateId: id, version: 3, deleted: true }])
      expect(await set(alice, id, 3)).toMatchObject({ code: 'version_conflict', version: 3 })
      expect(await set(alice, id, 4)).toMatchObject({ type: 'ok' })
      expect(await get(alice, id)).not.toHaveProperty('deleted')
    })

    test('all keys come in pages, each once, no page much over 256 KiB', async () => {
      const mesh = await world().mesh()
      await using alice = await mesh.peer('Alice')
      const ids = Array.from({ length: 220 }, () => b64u(16))
      await Promise.all(ids.map((id, i) => set(alice, id, 1, i < 12 ? { record: record(90_000) } : {})))
      expect((await list(alice)).map((entry) => String(entry['stateId'])).toSorted()).toEqual(ids.toSorted())
      const pages = alice.wire.seen.filter((frame) => frame.type === 'state_list').map((frame) => JSON.stringify(frame).length)
      expect(Math.max(...pages)).toBeLessThan(512 * 1024)
    })

    test('the plain form is refused', async () => {
      const mesh = await world().mesh()
      await using alice = await mesh.peer('Alice')
      const frames = [
        { type: 'set_state', key: 'sprint', value: 1, version: 1 },
        { type: 'set_state', stateId: b64u(16), value: 1, version: 1 },
        { type: 'set_state', stateId: b64u(16), record: record(), key: 'sprint', version: 1 },
        { type: 'set_state', stateId: b64u(16), version: 1 },
        { type: 'delete_state', key: 'sprint', version: 1 },
        { type: 'get_state', key: 'sprint' },
        { type: 'get_state' },
      ]
      for (const frame of frames) expect(await alice.wire.ask(frame)).toMatchObject({ type: 'error', code: 'wrong_form' })
    })

    test('a record may have its whole length, and not a byte more', async () => {
      const mesh = await world().mesh()
      await using alice = await mesh.peer('Alice')
      expect(await set(alice, b64u(16), 1, { record: record(limits.stateRecord) })).toMatchObject({ type: 'ok' })
      expect(await set(alice, b64u(16), 1, { record: record(limits.stateRecord + 3) })).toMatchObject({ type: 'error', code: 'too_large' })
    })
  })

  describe('plain, where the signed policy says so', () => {
    test('values are stored and told as they are', async () => {
      const mesh = await world().mesh()
      await using alice = await mesh.peer('Alice')
      await using bob = await mesh.peer('Bob')
      await plain(mesh, alice)
      const value = JSON.parse('{"__proto__":{"x":1},"list":[null,true,1.5,"ü"]}') as unknown
      expect(await alice.wire.ask({ type: 'set_state', key: '__proto__', value, version: 1 })).toMatchObject({ type: 'ok', version: 1 })
      const change = await bob.wire.next('state_change')
      expect(JSON.stringify(change['value'])).toBe(JSON.stringify(value))
      expect(change).toMatchObject({ key: '__proto__', version: 1, updatedBy: 'Alice' })
      await alice.wire.ask({ type: 'set_state', key: 'nothing', value: null, version: 1 })
      expect(await bob.wire.ask({ type: 'get_state', key: 'nothing' })).toMatchObject({ type: 'state_result', key: 'nothing', value: null, version: 1 })
      await alice.wire.ask({ type: 'delete_state', key: 'nothing', version: 2 })
      const gone = await bob.wire.ask({ type: 'get_state', key: 'nothing' })
      expect(gone).toMatchObject({ version: 2, deleted: true })
      expect(gone).not.toHaveProperty('value')
      expect((await list(bob)).map((entry) => entry['key'])).toEqual(['__proto__', 'nothing'])
    })

    test.each([
      ['an empty key', { key: '' }, 'bad_frame'],
      ['a long key', { key: 'k'.repeat(129) }, 'too_large'],
      ['a key with a control character', { key: 'a\u0007' }, 'bad_key'],
      ['a key with a bidi override', { key: 'a\u202eb' }, 'bad_key'],
      ['a key that is not NFC', { key: 'e\u0301' }, 'bad_key'],
      ['NUL in a value', { key: 'k', value: ['\0'] }, 'bad_value'],
      ['half a character in a value', { key: 'k', value: { '\ud800': 1 } }, 'bad_value'],
      ['a value over 64 KiB', { key: 'k', value: 'x'.repeat(64 * 1024) }, 'too_large'],
      ['a value nested too deep', { key: 'k', value: JSON.parse('['.repeat(29) + ']'.repeat(29)) as unknown }, 'bad_value'],
    ])('%s is refused by name', async (_, fields, code) => {
      const mesh = await world().mesh()
      await using alice = await mesh.peer('Alice')
      await plain(mesh, alice)
      expect(await alice.wire.ask({ type: 'set_state', version: 1, value: 1, ...fields })).toMatchObject({ type: 'error', code })
      expect(await list(alice)).toEqual([])
    })

    test('what was the longest and the deepest still passes', async () => {
      const mesh = await world().mesh()
      await using alice = await mesh.peer('Alice')
      await plain(mesh, alice)
      for (const value of ['x'.repeat(64 * 1024 - 2), JSON.parse('['.repeat(28) + ']'.repeat(28)) as unknown])
        expect(await alice.wire.ask({ type: 'set_state', key: `k${typeof value}`.padEnd(128, '-'), version: 1, value })).toMatchObject({ type: 'ok' })
      expect(await list(alice)).toHaveLength(2)
    })

    test('sealed writes are refused, and what was sealed before is out of sight', async () => {
      const mesh = await world().mesh()
      await using alice = await mesh.peer('Alice')
      await set(alice, b64u(16), 1)
      await plain(mesh, alice)
      expect(await set(alice, b64u(16), 1)).toMatchObject({ code: 'wrong_form' })
      expect(await list(alice)).toEqual([])
    })
  })

  test('the mesh that is full takes changes and deletions, but nothing new, and loses nothing', async () => {
    const mesh = await world().mesh()
    await using alice = await mesh.peer('Alice')
    const big = Math.floor(limits.stateBytes / 140_000)
    const ids = Array.from({ length: big }, () => b64u(16))
    // As text in base64url.
    for (const id of ids) expect(await set(alice, id, 1, { record: record(105_000) })).toMatchObject({ type: 'ok' })
    expect(await set(alice, b64u(16), 1, { record: record(105_000) })).toMatchObject({ code: 'quota_exceeded' })
    const [first = ''] = ids
    expect(await set(alice, first, 2, { record: record(105_000) })).toMatchObject({ type: 'ok' })
    expect(await remove(alice, first, 3)).toMatchObject({ type: 'ok' })
    expect(await set(alice, b64u(16), 1, { record: record(105_000) })).toMatchObject({ type: 'ok' })
    expect(await list(alice)).toHaveLength(big + 1)
  })
})
