import type { Seen, StatePin } from '@claudemesh/client'
import { stateId, type RecordOf } from '@claudemesh/crypto'
import { contract, times, type ErrorCode, type StateId } from '@claudemesh/protocol'
import { describe, expect, test } from 'vitest'
import { EvilBroker, type Frame } from '../harness/evil.ts'
import { next, seen } from '../harness/events.ts'
import { testMesh, type TestMesh, type TestPeer } from '../harness/mesh.ts'

interface Scene {
  readonly mesh: TestMesh
  readonly alice: TestPeer
  /** Connected through the liar. */
  readonly bob: TestPeer
  readonly evil: EvilBroker
  /** The honest answers to questions for `a` in versions 1 and 2, for `b`, and what tells of Mallory. */
  readonly truths: { readonly a1: Frame; readonly a2: Frame; readonly b: Frame; readonly mallory: Frame }
}

async function scene(stack: AsyncDisposableStack): Promise<Scene> {
  const mesh = stack.use(await testMesh())
  const evil = stack.use(await EvilBroker.before(mesh.url))
  const bob = await mesh.peer('Bob', { dial: evil.dial })
  const alice = await mesh.peer('Alice')
  const mallory = await mesh.peer('Mallory')
  const ask = async (key: string) => {
    await bob.state.get(key)
    return evil.told.findLast((frame) => frame.type === 'state_result') as Frame
  }
  await alice.state.set('a', 'frozen')
  const a1 = await ask('a')
  await alice.state.set('a', 'open')
  const a2 = await ask('a')
  await alice.state.set('b', 'other')
  const b = await ask('b')
  await mallory.state.set('c', 'mine')
  const truths = { a1, a2, b, mallory: await ask('c') }
  for (let i = 0; i < 4; i++) await next(bob, 'state')
  return { mesh, alice, bob, evil, truths }
}

interface Lie {
  readonly what: string
  readonly reason: ErrorCode
  readonly lie: (truths: Scene['truths']) => Partial<Frame>
}

const body = ({ type: _type, id: _id, ...rest }: Frame) => rest
const nothing = { stateId: undefined, record: undefined, writer: undefined, chain: undefined, updatedBy: undefined, updatedAt: undefined, tokens: [] }

const lies: Lie[] = [
  { what: 'shows the older version', reason: 'rolled_back', lie: ({ a1 }) => body(a1) },
  { what: 'shows the older version as the newer one', reason: 'bad_record', lie: ({ a1 }) => ({ ...body(a1), version: 2 }) },
  { what: 'shows the older version as a still newer one', reason: 'bad_record', lie: ({ a1 }) => ({ ...body(a1), version: 3 }) },
  { what: 'shows nothing any more', reason: 'rolled_back', lie: () => ({ ...nothing, version: 0 }) },
  { what: 'says that the deleted key was forgotten', reason: 'rolled_back', lie: () => ({ ...nothing, version: 9 }) },
  { what: 'calls the key deleted', reason: 'bad_record', lie: ({ a2 }) => ({ ...body(a2), deleted: true }) },
  { what: 'answers with another key', reason: 'bad_record', lie: ({ b }) => body(b) },
  { what: 'puts the record of another key into the row', reason: 'cannot_open', lie: ({ a2, b }) => ({ ...body(a2), record: b['record'] }) },
  { what: 'shows an older version that does not even open', reason: 'rolled_back', lie: ({ a1, b }) => ({ ...body(a1), record: b['record'] }) },
  { what: 'names another writer', reason: 'bad_record', lie: ({ a2, mallory }) => ({ ...body(a2), chain: mallory['chain'], tokens: mallory['tokens'] }) },
  { what: 'points at certificates that are not there', reason: 'bad_frame', lie: ({ a2 }) => ({ ...body(a2), chain: [7, 8] }) },
  { what: 'shows a plain value', reason: 'wrong_form', lie: ({ a2 }) => ({ ...body(a2), record: undefined, value: 'forged' }) },
]

describe('a broker that', () => {
  test.each(lies)('$what is refused: $reason', async ({ lie, reason }) => {
    await using stack = new AsyncDisposableStack()
    const { bob, evil, truths } = await scene(stack)
    evil.tamper = (frame) => [frame.type === 'state_result' ? { ...frame, ...lie(truths) } : frame]
    await expect(bob.state.get('a')).rejects.toMatchObject({ code: reason })
    evil.tamper = (frame) => [frame]
    expect(await bob.state.get('a')).toMatchObject({ value: 'open', version: 2 })
  })

  test('tells an older change again is not believed, and nobody hears of it', async () => {
    await using stack = new AsyncDisposableStack()
    const { alice, bob, evil, truths } = await scene(stack)
    for (const truth of [truths.a1, truths.a2]) evil.say({ ...body(truth), type: contract.state.changed.type })
    await alice.state.set('b', 'last')
    expect(await next(bob, 'state')).toMatchObject({ key: 'b', value: 'last' })
    expect([...seen(bob, 'state'), ...seen(bob, 'stateRefused')]).toEqual([])
  })

  test('invents a change is reported', async () => {
    await using stack = new AsyncDisposableStack()
    const { bob, evil, truths } = await scene(stack)
    evil.say({ ...body(truths.a2), type: contract.state.changed.type, version: 3 })
    expect(await next(bob, 'stateRefused')).toMatchObject({ reason: 'bad_record' })
  })

  test('leaves a key out of the list is found out, the others are listed', async () => {
    await using stack = new AsyncDisposableStack()
    const { bob, evil, truths } = await scene(stack)
    evil.tamper = (frame) =>
      frame.type === 'state_list'
        ? [{ ...frame, entries: (frame['entries'] as Frame[]).filter((entry) => entry['stateId'] !== truths.a2['stateId']) }]
        : [frame]
    const { entries, refused } = await bob.state.list()
    expect(entries.map(({ key }) => key)).toEqual(['b', 'c'])
    expect(refused).toMatchObject([{ reason: 'rolled_back' }])
  })

  test('swaps the rows of a list shows neither', async () => {
    await using stack = new AsyncDisposableStack()
    const { bob, evil } = await scene(stack)
    evil.tamper = (frame) => {
      if (frame.type !== 'state_list') return [frame]
      const entries = frame['entries'] as Frame[]
      return [{ ...frame, entries: entries.map((entry, i) => ({ ...entry, record: entries[(i + 1) % entries.length]?.['record'] })) }]
    }
    const { entries, refused } = await bob.state.list()
    expect(entries).toEqual([])
    expect(refused.map(({ reason }) => reason)).toEqual(['cannot_open', 'cannot_open', 'cannot_open'])
  })

  test('never ends a list is cut short', async () => {
    await using stack = new AsyncDisposableStack()
    const { bob, evil } = await scene(stack)
    evil.tamper = (frame) => [frame.type === 'state_list' ? { ...frame, entries: [], next: 'A' } : frame]
    await expect(bob.state.list()).rejects.toMatchObject({ code: 'bad_frame' })
  })

  test('shows two peers different histories is found out at the next write', async () => {
    await using stack = new AsyncDisposableStack()
    const { mesh, alice, bob } = await scene(stack)
    const liar = stack.use(await EvilBroker.before(mesh.url))
    const victim = await mesh.peer('Victim', { dial: liar.dial })
    believing(liar, 3)
    await victim.state.get('a')
    await alice.state.set('a', 'three')
    expect(await victim.state.set('a', 'another three')).toEqual({ version: 3 })
    await victim.state.set('a', 'four')
    expect(await next(bob, 'state', ({ version }) => version === 3)).toMatchObject({ value: 'three' })
    expect(await next(bob, 'stateRefused')).toMatchObject({ reason: 'rolled_back' })
  })

  test('shows another value in the same version is found out', async () => {
    await using stack = new AsyncDisposableStack()
    const { mesh, alice, bob, evil } = await scene(stack)
    const liar = stack.use(await EvilBroker.before(mesh.url))
    const victim = await mesh.peer('Victim', { dial: liar.dial })
    await victim.state.set('e', 'honest')
    await next(bob, 'state')
    const proof = evil.told.findLast((frame) => frame.type === 'state_change') as Frame
    believing(liar, 1)
    await alice.state.set('d', 'one')
    expect(await next(bob, 'state')).toMatchObject({ value: 'one', version: 1 })
    await victim.state.set('d', 'another one')
    const { stateId, record } = liar.heard.findLast((frame) => frame.type === 'set_state') as Frame
    evil.say({ ...proof, stateId, record, version: 1 })
    expect(await next(bob, 'stateRefused')).toMatchObject({ reason: 'rolled_back' })
    expect(await bob.state.get('d')).toMatchObject({ value: 'one' })
  })
})

/** Its client shall believe that every write succeeded, in this version, and hear nothing of the others'. */
function believing(liar: EvilBroker, version: number): void {
  liar.tamper = (frame) => {
    if (frame.type === 'state_change') return []
    if (frame.type === 'state_result' && version === 1) return [{ ...frame, ...nothing, version: 0 }]
    return [frame.type === 'error' ? { type: 'ok', id: frame['id'], version } : frame]
  }
}

interface Rogue {
  readonly what: string
  readonly reason: ErrorCode
  readonly content: Partial<RecordOf<'state'>>
}

const rogues: Rogue[] = [
  { what: 'writes one key into the row of another', reason: 'bad_record', content: { key: 'b' } },
  { what: 'signs another version than the one it stores', reason: 'bad_record', content: { ver: 9 } },
  { what: 'passes a deletion off as a value', reason: 'bad_record', content: { val: undefined, deleted: true } },
  { what: 'dates its write into the future', reason: 'bad_record', content: { ts: 4e12 } },
  { what: 'spells the key in another form', reason: 'bad_record', content: { key: 'cafe\u0301' } },
  { what: 'writes NUL', reason: 'bad_value', content: { val: 'a\0' } },
  { what: 'writes half a character', reason: 'bad_value', content: { val: { '\udc00': 1 } } },
]

describe('a member that', () => {
  test.each(rogues)('$what is refused: $reason; the key can be written over', async ({ content, reason }) => {
    await using mesh = await testMesh()
    const alice = await mesh.peer('Alice')
    const mallory = await mesh.peer('Mallory')
    const key = content.key?.startsWith('caf') ? 'caf\u00e9' : 'a'
    const id = stateId(await mallory.keys.first(), key) as StateId
    const { record } = await mallory.records.seal('state', id, { key, val: 1, ver: 1, ts: mesh.clock.now(), ...content })
    await mallory.calls.state.set({ version: 1, stateId: id, record })
    expect(await next(alice, 'stateRefused')).toMatchObject({ reason })
    await expect(alice.state.get(key)).rejects.toMatchObject({ code: reason })
    expect(await alice.state.list()).toMatchObject({ entries: [], refused: [{ reason }] })
    expect(await alice.state.set(key, 'mended')).toEqual({ version: 2 })
    expect(await mallory.state.get(key)).toMatchObject({ value: 'mended', by: { name: 'Alice' } })
    expect(seen(alice, 'state')).toEqual([])
  })

  test('signs a name that is none bears its member’s', async () => {
    await using mesh = await testMesh()
    const alice = await mesh.peer('Alice')
    const mallory = await mesh.peer('Session', { identity: await mesh.member('Mallory') })
    const id = stateId(await mallory.keys.first(), 'a') as StateId
    const { record } = await mallory.records.seal('state', id, { key: 'a', val: 1, ver: 1, ts: mesh.clock.now(), name: 'all' })
    await mallory.calls.state.set({ version: 1, stateId: id, record })
    expect((await next(alice, 'state')).by.name).not.toBe('all')
  })
})

/** Keeps what was seen as an app does between sessions. */
function keeping(): StatePin {
  const kept = new Map<string, Seen>()
  return { load: () => kept, raise: (id, seen) => void kept.set(id, seen) }
}

test('what was seen is not forgotten between sessions, where the app keeps it', async () => {
  await using stack = new AsyncDisposableStack()
  const { mesh, evil, truths } = await scene(stack)
  const statePin = keeping()
  const first = await mesh.peer('Early', { options: { statePin } })
  await first.state.list()
  await first.close()
  evil.tamper = (frame) => [frame.type === 'state_result' ? { ...frame, ...body(truths.a1) } : frame]
  const later = await mesh.peer('Later', { dial: evil.dial, options: { statePin } })
  await expect(later.state.get('a')).rejects.toMatchObject({ code: 'rolled_back' })
  const naive = await mesh.peer('Naive', { dial: evil.dial })
  expect(await naive.state.get('a')).toMatchObject({ value: 'frozen' })
})

test('a key that was deleted is forgotten after 30 days; its version is not', async () => {
  await using mesh = await testMesh()
  const statePin = keeping()
  const identity = await mesh.member('Alice')
  const alice = await mesh.peer('Alice', { identity, options: { statePin } })
  await alice.state.set('a', 1)
  await alice.state.delete('a')
  await alice.close({ bye: true })
  mesh.clock.advance(times.tombstoneLife + 60_000)
  const later = await mesh.peer('Alice', { identity, options: { statePin } })
  // The store is swept once an hour.
  while ((await later.calls.state.list({})).entries.length > 0) {
    mesh.clock.advance(60_000)
    await mesh.settle()
  }
  expect(await later.state.get('a')).toBeUndefined()
  expect(await later.state.list()).toEqual({ entries: [], refused: [] })
  expect(await later.state.set('a', 2, { ifVersion: 0 })).toEqual({ version: 3 })
})
