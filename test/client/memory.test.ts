import type { Mesh, MemoryCache } from '@claudemesh/client'
import { nodeRandom } from '@claudemesh/client/node'
import { fromB64u, issueRecord, sealRecord, toB64u } from '@claudemesh/crypto'
import { limits, type LogLevel, type MemoryId } from '@claudemesh/protocol'
import { sql } from 'drizzle-orm'
import { describe, expect, test } from 'vitest'
import { EvilBroker, type Frame } from '../harness/evil.ts'
import { change } from '../harness/events.ts'
import { testMesh, type PeerOptions, type TestMesh, type TestPeer } from '../harness/mesh.ts'
import { testStore } from '../harness/store.ts'
import { verifies } from '../harness/verifies.ts'
import { corpus, judge, judged } from '../memory/corpus.ts'

const texts = (found: readonly { content: string }[]) => found.map(({ content }) => content)

/** From now on the broker searches. */
async function plain(mesh: TestMesh): Promise<void> {
  const admin = await mesh.peer('Founder', { identity: mesh.founder })
  await admin.amend({ allow: { memory: 'plain' } })
  await mesh.settle()
}

/** What an app keeps for its sessions, in memory. */
class Kept implements MemoryCache {
  lines: string | undefined
  index: string | undefined
  load = () => Promise.resolve(this.lines)
  append = (lines: string) => Promise.resolve(void (this.lines += lines))
  replace = (lines: string) => Promise.resolve(void (this.lines = lines))
  loadIndex = () => Promise.resolve(this.index)
  saveIndex = (index: string) => Promise.resolve(void (this.index = index))
}

interface Watched {
  readonly evil: EvilBroker
  readonly peer: TestPeer
  /** What was left out, by the names of its refusals. */
  readonly refused: string[]
  /** How many pages it asked for. */
  readonly syncs: () => number
}

/** A peer whose line to the broker is watched, and tampered with at will. */
async function watched(mesh: TestMesh, name: string, o: PeerOptions = {}): Promise<Watched> {
  const evil = await EvilBroker.before(mesh.url)
  const refused: string[] = []
  const log = (_level: LogLevel, event: string, fields?: Record<string, unknown>) =>
    void (event === 'memory_refused' && refused.push(String(fields?.['error'])))
  const peer = await mesh.peer(name, { dial: evil.dial, ...o, options: { log, ...o.options } })
  return { evil, peer, refused, syncs: () => evil.heard.filter(({ type }) => type === 'sync_memories').length }
}

describe.each(['sealed', 'plain'] as const)('%s', (form) => {
  async function scene(): Promise<TestMesh> {
    const mesh = await testMesh()
    if (form === 'plain') await plain(mesh)
    return mesh
  }

  test('what a session remembered is recalled by a new member’s after it ended, with author and time', async () => {
    verifies('memory.survives-sessions', 'memory.author')
    await using mesh = await scene()
    const alice = await mesh.peer('Alice')
    const at = mesh.clock.now()
    const id = await alice.memory.remember(' Payments API rate-limits at 100 req/s after March incident ', ['#Payments', 'incident'])
    const author = alice.me
    await alice.close({ bye: true })
    await mesh.advance(48 * 3_600_000)
    const dora = await mesh.peer('Dora')
    expect(await dora.memory.recall('payment limits')).toEqual([
      {
        id,
        content: 'Payments API rate-limits at 100 req/s after March incident',
        tags: ['payments', 'incident'],
        at,
        by: { name: 'Alice', member: { id: author.memberId, name: 'Alice' }, session: author.session, fingerprint: author.fingerprint },
      },
    ])
  })

  test('recall ranks, and narrows by tag, author, time and number', async () => {
    verifies('memory.ranked', 'memory.tags')
    await using mesh = await scene()
    const alice = await mesh.peer('Alice')
    const bob = await mesh.peer('Bob')
    await alice.memory.remember('Lunch is at noon; the deploy button is red', ['office'])
    await alice.memory.remember('Deploy freeze: no production deploy on Friday', ['deploy', 'decision'])
    await mesh.advance(60_000)
    const later = mesh.clock.now()
    await bob.memory.remember('Friday deploys broke checkout twice', ['deploy', 'incident'])
    const recall = async (...args: Parameters<Mesh['memory']['recall']>) => texts(await bob.memory.recall(...args))
    expect((await recall('deploy freeze on friday'))[0]).toBe('Deploy freeze: no production deploy on Friday')
    expect(await recall('deploy', { tags: ['Deploy', 'incident'] })).toEqual(['Friday deploys broke checkout twice'])
    expect(await recall('deploy', { by: 'bob' })).toEqual(['Friday deploys broke checkout twice'])
    expect(await recall('deploy', { since: later })).toEqual(['Friday deploys broke checkout twice'])
    expect(await recall('deploy', { limit: 2 })).toHaveLength(2)
    expect(await recall('"production deploy"')).toEqual(['Deploy freeze: no production deploy on Friday'])
    expect(await recall('deploy -friday')).toEqual(['Lunch is at noon; the deploy button is red'])
    expect(await recall('zeppelin')).toEqual([])
  })

  test('forget takes a memory out of every recall; the row stays, marked', async () => {
    verifies('memory.soft-delete')
    await using mesh = await scene()
    const alice = await mesh.peer('Alice')
    const bob = await mesh.peer('Bob')
    const id = await alice.memory.remember('The office is in Berlin')
    const kept = await alice.memory.remember('The office dog is called Bruno')
    expect(texts(await bob.memory.recall('office'))).toHaveLength(2)
    await bob.memory.forget(id)
    for (const peer of [alice, bob, await mesh.peer('Carol')]) expect((await peer.memory.recall('office')).map((memory) => memory.id)).toEqual([kept])
    const store = await testStore()
    const rows: unknown = await store.db.execute(sql`select forgotten_at::float8 as at from mesh.memory where mesh_id = ${mesh.founder.mesh} and id = ${id}`)
    expect(rows).toMatchObject({ rows: [{ at: mesh.clock.now() }] })
    await expect(bob.memory.forget(toB64u(nodeRandom(16)) as MemoryId)).rejects.toMatchObject({ code: 'not_found' })
  })

  test.each<[string, string, string[], string]>([
    ['no text', ' \n', [], 'bad_memory'],
    ['a NUL', 'a\0b', [], 'bad_memory'],
    ['half of a surrogate pair', 'a\ud800', [], 'bad_memory'],
    ['a text over 16 KiB', 'é'.repeat(limits.memory / 2 + 1), [], 'too_large'],
    ['seventeen tags', 'x', Array.from({ length: 17 }, (_, i) => `t${i}`), 'bad_memory'],
    ['a tag with a line break', 'x', ['a\u0007b'], 'bad_memory'],
    ['a tag of 65 characters', 'x', ['t'.repeat(65)], 'bad_memory'],
  ])('refuses to remember %s', async (_, content, tags, code) => {
    await using mesh = await scene()
    const alice = await mesh.peer('Alice')
    await expect(alice.memory.remember(content, tags)).rejects.toMatchObject({ code })
  })

  test('the largest text comes back whole', async () => {
    await using mesh = await scene()
    const alice = await mesh.peer('Alice')
    const content = 'word '.repeat(limits.memory / 5).trim()
    await alice.memory.remember(content)
    expect(texts(await (await mesh.peer('Bob')).memory.recall('word'))).toEqual([content])
  })

  test.each([':*&|!()', '\0', '\ud800', '"', 'the of', ''])('the query %j is answered like any other', async (query) => {
    await using mesh = await scene()
    const alice = await mesh.peer('Alice')
    await alice.memory.remember('Nothing to see here')
    expect(await alice.memory.recall(query)).toEqual([])
  })
})

test('both forms give the same best answer to nearly all judged questions', async () => {
  await using mesh = await testMesh()
  const alice = await mesh.peer('Alice')
  const keys = new Map<MemoryId, string>()
  await Promise.all(corpus.map(async ({ key, content, tags }) => keys.set(await alice.memory.remember(content, tags), key)))
  const ask = async (query: string) => (await alice.memory.recall(query, { limit: 20 })).map(({ id }) => keys.get(id))
  const sealed = await judge(ask)
  await plain(mesh)
  await Promise.all(corpus.map(async ({ key, content, tags }) => keys.set(await alice.memory.remember(content, tags), key)))
  const searched = await judge(ask)
  const differing = judged.filter(({ query }) => sealed.first.get(query) !== searched.first.get(query))
  // Measured: 0.955 and 0.941, and 61 of 64 first answers alike. PostgreSQL ranks without the length of a text, which is where they part.
  expect(sealed.mrr).toBeGreaterThan(0.94)
  expect(searched.mrr).toBeGreaterThan(0.92)
  expect(differing.length).toBeLessThanOrEqual(5)
})

describe('kept sealed', () => {
  test('the broker’s tables hold no word of it', async () => {
    verifies('memory.sealed')
    await using mesh = await testMesh()
    const alice = await mesh.peer('Alice')
    await alice.memory.remember('The canary sings at dawn', ['ornithology'])
    const store = await testStore()
    const rows: unknown = await store.db.execute(sql`select row_to_json(m) as row from mesh.memory m where mesh_id = ${mesh.founder.mesh}`)
    const dump = JSON.stringify(rows)
    expect(dump.includes(mesh.founder.mesh)).toBe(true)
    for (const word of ['canary', 'dawn', 'ornithology', Buffer.from('canary sings').toString('base64url').slice(0, 12)])
      expect(dump.includes(word), word).toBe(false)
  })

  test('a search asks the broker again only when there may be something new', async () => {
    await using mesh = await testMesh()
    const alice = await mesh.peer('Alice')
    const { peer: bob, evil, syncs } = await watched(mesh, 'Bob')
    await using _ = evil
    await alice.memory.remember('One')
    for (let i = 0; i < 3; i++) expect(await bob.memory.recall('one')).toHaveLength(1)
    expect(syncs()).toBe(1)
    await alice.memory.remember('One more')
    await mesh.settle()
    for (let i = 0; i < 3; i++) expect(await bob.memory.recall('one')).toHaveLength(2)
    expect(syncs()).toBe(2)
    await bob.memory.remember('And another one')
    expect(await bob.memory.recall('one')).toHaveLength(3)
    evil.hangUp(1012)
    await change(bob, 'connection')
    await mesh.advance(10_000)
    expect(await bob.memory.recall('one')).toHaveLength(3)
    expect(syncs()).toBe(4)
  })

  test('the next session fetches only what is new, and what is kept between them is ciphertext', async () => {
    await using mesh = await testMesh()
    const identity = await mesh.member('Bob')
    const alice = await mesh.peer('Alice')
    const memoryCache = new Kept()
    const options = { identity, options: { memoryCache } }
    const gone = await alice.memory.remember('The canary is yellow', ['bird'])
    await alice.memory.remember('The canary sings')
    const first = await mesh.peer('Bob 1', options)
    expect(await first.memory.recall('canary')).toHaveLength(2)
    await first.close()
    await alice.memory.forget(gone)
    await alice.memory.remember('The canary sleeps')
    const { peer: second, evil } = await watched(mesh, 'Bob 2', options)
    await using _ = evil
    expect(texts(await second.memory.recall('canary')).toSorted()).toEqual(['The canary sings', 'The canary sleeps'])
    expect(evil.told.filter(({ type }) => type === 'memory_rows')).toMatchObject([{ memories: [{ memoryId: gone }, {}] }])
    for (const word of ['canary', 'yellow', 'bird']) expect(memoryCache.lines).not.toContain(word)
  })

  test('with many memories the index is kept too, sealed, and answers as the one before', async () => {
    await using mesh = await testMesh()
    const memoryCache = new Kept()
    const alice = await mesh.peer('Alice', { options: { memoryCache } })
    await Promise.all(corpus.flatMap(({ content, tags }) => [alice.memory.remember(content, tags), alice.memory.remember(`Again: ${content}`)]))
    const before = await alice.memory.recall('payments rate limit')
    expect(memoryCache.index).toBeDefined()
    expect(memoryCache.index).not.toContain('payment')
    await alice.memory.remember('A payments rate limit of our own', ['late'])
    const next = await mesh.peer('Alice 2', { identity: alice.identity, options: { memoryCache } })
    expect(texts(await next.memory.recall('payments rate limit')).slice(1)).toEqual(texts(before).slice(0, -1))
    expect(texts(await next.memory.recall('payments rate limit', { tags: ['late'] }))).toEqual(['A payments rate limit of our own'])
  })

  test.each<[string, (kept: Kept) => void]>([
    ['is another mesh’s', (kept) => (kept.lines = kept.lines?.replace(/[a-z2-7]{32}/, 'a'.repeat(32)))],
    ['is cut off', (kept) => (kept.lines = kept.lines?.slice(0, -40))],
    ['has a hole', (kept) => (kept.lines = kept.lines?.replace(/\nr [^\n]*/, '\n\0\0\0'))],
    ['has another ciphertext', (kept) => (kept.lines = kept.lines?.replace(/(\nr .*) \S+$/m, '$1 AAAA'))],
    ['has lost its writers', (kept) => (kept.lines = kept.lines?.replace(/\nw [^\n]*/, ''))],
    ['has an index of nonsense', (kept) => (kept.index = '1 AAAA AAAA')],
    ['is empty', (kept) => (kept.lines = '')],
  ])('a cache that %s costs time and nothing else', async (_, spoil) => {
    await using mesh = await testMesh()
    const identity = await mesh.member('Bob')
    const memoryCache = new Kept()
    const options = { identity, options: { memoryCache } }
    const first = await mesh.peer('Bob 1', options)
    for (const text of ['First fact', 'Second fact', 'Third fact']) await first.memory.remember(text)
    await first.memory.recall('fact')
    await first.close()
    spoil(memoryCache)
    for (const name of ['Bob 2', 'Bob 3']) {
      const peer = await mesh.peer(name, options)
      expect(texts(await peer.memory.recall('fact')).toSorted()).toEqual(['First fact', 'Second fact', 'Third fact'])
      await peer.close()
    }
  })

  test('a store that was set back is synced anew', async () => {
    await using mesh = await testMesh()
    const alice = await mesh.peer('Alice')
    for (const text of ['Fact one', 'Fact two', 'Fact three']) await alice.memory.remember(text)
    const memoryCache = new Kept()
    const bob = await mesh.peer('Bob', { options: { memoryCache } })
    expect(await bob.memory.recall('fact')).toHaveLength(3)
    const store = await testStore()
    await store.db.execute(sql`delete from mesh.memory where mesh_id = ${mesh.founder.mesh} and seq > 1`)
    await store.db.execute(sql`update mesh.memory_head set seq = 1, live = 1, total = 1 where mesh_id = ${mesh.founder.mesh}`)
    await alice.memory.remember('Fact four')
    await mesh.settle()
    bob.line.cut()
    await change(bob, 'connection')
    await mesh.advance(10_000)
    expect(texts(await bob.memory.recall('fact')).toSorted()).toEqual(['Fact four', 'Fact one'])
  })

  test('who is removed cannot remember, and what is sealed under the new key is not for him', async () => {
    await using mesh = await testMesh()
    const admin = await mesh.peer('Founder', { identity: mesh.founder })
    const mallory = await mesh.peer('Mallory')
    await mallory.memory.remember('An old fact')
    await admin.amend({ revoke: { members: [mallory.identity.member.publicKey] } })
    await mesh.settle()
    await expect(mallory.memory.remember('A new fact')).rejects.toThrow()
    await admin.memory.remember('A fact of the rest')
    const bob = await mesh.peer('Bob')
    expect(texts(await bob.memory.recall('fact')).toSorted()).toEqual(['A fact of the rest', 'An old fact'])
  })
})

interface Row extends Record<string, unknown> {
  memoryId: string
  seq: number
  record: { e: number; n: string; c: string }
  chain: number[]
}

const flip = (text: string) => {
  const bytes = fromB64u(text)
  bytes[bytes.length - 1]! ^= 1
  return toB64u(bytes)
}

describe('a broker that lies', () => {
  interface Lie {
    readonly what: string
    /** Changes the rows of Alice's "fact one", "fact two" and Mallory's "fact three" on the way to Bob. */
    readonly lie: (rows: [Row, Row, Row], frame: Frame, scene: { mallory: TestPeer; mesh: TestMesh }) => Promise<void> | void
    readonly found: string[]
    readonly refused: string[]
  }

  const all = ['Fact one', 'Fact three', 'Fact two']
  const lies: Lie[] = [
    {
      what: 'flips a bit',
      lie: ([one]) => void (one.record = { ...one.record, c: flip(one.record.c) }),
      found: ['Fact three', 'Fact two'],
      refused: ['cannot_open'],
    },
    {
      what: 'swaps two rows',
      lie: ([one, two]) => void ([one.record, two.record] = [two.record, one.record]),
      found: ['Fact three'],
      refused: ['cannot_open', 'cannot_open'],
    },
    {
      what: 'shows a row again under another id',
      lie: ([one], frame) => void (frame['memories'] as Row[]).push({ ...one, memoryId: toB64u(nodeRandom(16)), seq: 9 }),
      found: all,
      refused: ['cannot_open'],
    },
    { what: 'names another author', lie: ([one, , three]) => void (one.chain = three.chain), found: ['Fact three', 'Fact two'], refused: ['bad_record'] },
    {
      what: 'cuts the author’s certificates',
      lie: ([one]) => void (one.chain = one.chain.slice(0, -1)),
      found: ['Fact three', 'Fact two'],
      refused: ['bad_token'],
    },
    {
      what: 'points at certificates that are not there',
      lie: ([one]) => void (one.chain = [90, 91]),
      found: ['Fact three', 'Fact two'],
      refused: ['bad_token'],
    },
    {
      what: 'claims an epoch that never was',
      lie: ([one]) => void (one.record = { ...one.record, e: 7 }),
      found: ['Fact three', 'Fact two'],
      refused: ['no_mesh_key'],
    },
    // What nobody tells nobody misses: a broker can withhold memories, and clients cannot know.
    { what: 'withholds a row', lie: (_, frame) => void (frame['memories'] as Row[]).shift(), found: ['Fact three', 'Fact two'], refused: [] },
  ]

  test.each(lies)('$what: nothing false is recalled', async ({ lie, found, refused }) => {
    await using mesh = await testMesh()
    const alice = await mesh.peer('Alice')
    const mallory = await mesh.peer('Mallory')
    for (const text of ['Fact one', 'Fact two']) await alice.memory.remember(text)
    await mallory.memory.remember('Fact three')
    const { peer: bob, evil, refused: names } = await watched(mesh, 'Bob')
    await using _ = evil
    evil.tamper = (frame) => {
      if (frame.type === 'memory_rows') void lie(frame['memories'] as [Row, Row, Row], frame, { mallory, mesh })
      return [frame]
    }
    expect(texts(await bob.memory.recall('fact')).toSorted()).toEqual(found)
    expect(names).toEqual(refused)
  })

  test('with a member’s help it still makes up no author: the signature is the session’s own', async () => {
    await using mesh = await testMesh()
    const alice = await mesh.peer('Alice')
    const mallory = await mesh.peer('Mallory')
    await alice.memory.remember('Fact one')
    const { peer: bob, evil, refused } = await watched(mesh, 'Bob')
    await using _ = evil
    const { epoch, key } = await mallory.keys.current()
    const forged = (id: string, k: TestPeer) => {
      const token = issueRecord('memory', { mesh: mesh.founder.mesh, session: mallory.sessionKey, id, content: 'Fact forged', tags: [], ts: mesh.clock.now() })
      return { record: sealRecord({ mesh: mesh.founder.mesh, purpose: 'memory', epoch, key, id, token, random: nodeRandom }), by: k }
    }
    evil.tamper = (frame) => {
      const rows = frame['memories'] as Row[]
      if (frame.type === 'memory_rows') rows.push({ ...(rows[0] as Row), memoryId: 'F'.repeat(22), seq: 9, record: forged('F'.repeat(22), mallory).record })
      return [frame]
    }
    expect(texts(await bob.memory.recall('fact'))).toEqual(['Fact one'])
    expect(refused).toEqual(['bad_record'])
  })

  test('what was forgotten once does not come back, not even to the next session', async () => {
    await using mesh = await testMesh()
    const alice = await mesh.peer('Alice')
    const id = await alice.memory.remember('The old address')
    const memoryCache = new Kept()
    const identity = await mesh.member('Bob')
    const { peer: bob, evil } = await watched(mesh, 'Bob', { identity, options: { memoryCache } })
    await using _ = evil
    await bob.memory.recall('address')
    const shown = evil.told.find(({ type }) => type === 'memory_rows') as Frame
    const [row] = shown['memories'] as Row[]
    await alice.memory.forget(id)
    await mesh.settle()
    expect(await bob.memory.recall('address')).toEqual([])
    evil.tamper = (frame) => (frame.type === 'memory_rows' ? [{ ...frame, memories: [{ ...row, seq: 50 }], tokens: shown['tokens'], head: 50 }] : [frame])
    evil.say({ type: 'memory_change', seq: 50 })
    await mesh.settle()
    expect(await bob.memory.recall('address')).toEqual([])
    await bob.close()
    const again = await mesh.peer('Bob again', { identity, options: { memoryCache } })
    expect(await again.memory.recall('address')).toEqual([])
  })

  test('rows that go back are no answer', async () => {
    await using mesh = await testMesh()
    const alice = await mesh.peer('Alice')
    await alice.memory.remember('Fact one')
    const { peer: bob, evil } = await watched(mesh, 'Bob')
    await using _ = evil
    evil.tamper = (frame) => {
      const rows = frame['memories'] as Row[]
      return frame.type === 'memory_rows' ? [{ ...frame, memories: [...rows, ...rows] }] : [frame]
    }
    await expect(bob.memory.recall('fact')).rejects.toMatchObject({ code: 'bad_frame' })
  })

  test('plain: it can put words into nobody’s mouth either', async () => {
    await using mesh = await testMesh()
    await plain(mesh)
    const alice = await mesh.peer('Alice')
    const mallory = await mesh.peer('Mallory')
    await alice.memory.remember('Fact one')
    await mallory.memory.remember('Fact two')
    const { peer: bob, evil, refused } = await watched(mesh, 'Bob')
    await using _ = evil
    const lies: [string, (rows: (Row & { token?: unknown })[]) => void][] = [
      ['bad_record', (rows) => (rows[0]!.chain = rows[1]!.chain)],
      ['bad_record', (rows) => (rows[0]!.memoryId = 'F'.repeat(22))],
      ['wrong_form', (rows) => delete rows[0]!.token],
    ]
    for (const [code, lie] of lies) {
      evil.tamper = (frame) => {
        if (frame.type === 'memory_results') lie(frame['memories'] as Row[])
        return [frame]
      }
      expect(await bob.memory.recall('fact')).toHaveLength(1)
      expect(refused.splice(0)).toEqual([code])
    }
  })
})
