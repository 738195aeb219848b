import { limits, times } from '@claudemesh/protocol'
import { sql } from 'drizzle-orm'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { next, seen } from '../harness/events.ts'
import { testMesh } from '../harness/mesh.ts'
import { testStore } from '../harness/store.ts'
import { verifies } from '../harness/verifies.ts'

test('what one peer writes every peer reads, with author and time', async () => {
  verifies('wire.state', 'state.anybody', 'state.pushed')
  await using mesh = await testMesh()
  const alice = await mesh.peer('Alice')
  const bob = await mesh.peer('Bob')
  const carol = await mesh.peer('Carol')
  expect(await alice.state.get('deploy_frozen')).toBeUndefined()
  expect(await alice.state.set('deploy_frozen', true)).toEqual({ version: 1 })
  for (const peer of [bob, carol])
    expect(await next(peer, 'state')).toMatchObject({
      key: 'deploy_frozen',
      value: true,
      version: 1,
      deleted: false,
      verified: true,
      by: { name: 'Alice', session: alice.me.session },
    })
  expect(await bob.state.get('deploy_frozen')).toEqual({
    key: 'deploy_frozen',
    value: true,
    version: 1,
    at: mesh.clock.now(),
    verified: true,
    by: { name: 'Alice', member: 'Alice', session: alice.me.session, fingerprint: alice.me.fingerprint },
  })
  expect(seen(alice, 'state')).toEqual([])
})

test('the other sessions of the writer’s member hear of it, too', async () => {
  await using mesh = await testMesh()
  const alice = await mesh.peer('Alice')
  const second = await mesh.peer('Alice 2', { identity: alice.identity })
  await alice.state.set('sprint', '2026-W14')
  expect(await next(second, 'state')).toMatchObject({ key: 'sprint', by: { name: 'Alice' } })
})

test('a value stays readable after its writer left, under the name the writer bore', async () => {
  verifies('state.lives-with-mesh')
  await using mesh = await testMesh()
  const alice = await mesh.peer('Build bot', { identity: await mesh.member('Anna') })
  await alice.state.set('pr_queue', ['#142', '#143'])
  await alice.close({ bye: true })
  mesh.clock.advance(times.sessionLifeMax)
  const bob = await mesh.peer('Bob')
  expect(await bob.state.get('pr_queue')).toMatchObject({ value: ['#142', '#143'], by: { name: 'Build bot', member: 'Anna' } })
})

test('the broker’s store holds neither keys nor values, only their writer’s name', async () => {
  verifies('state.stored')
  await using mesh = await testMesh()
  const alice = await mesh.peer('Alice')
  await alice.state.set('canary-key', { 'canary-name': 'canary-value' })
  await alice.state.delete('canary-key')
  await alice.state.set('canary-key', 'canary-again')
  const { db } = await testStore()
  const stored = JSON.stringify(await db.execute(sql`select * from mesh.state`))
  expect(stored).toContain('"updated_by_name":"Alice"')
  expect(stored).not.toContain('canary')
})

describe('versions', () => {
  test('a write without a condition wins over what came between', async () => {
    await using mesh = await testMesh()
    const alice = await mesh.peer('Alice')
    const bob = await mesh.peer('Bob')
    await alice.state.set('k', 1)
    await bob.state.set('k', 2)
    expect(await alice.state.set('k', 3)).toEqual({ version: 3 })
    expect(await bob.state.get('k')).toMatchObject({ value: 3, version: 3 })
  })

  test('if_version writes only over that version, and 0 only where nothing is', async () => {
    await using mesh = await testMesh()
    const alice = await mesh.peer('Alice')
    const bob = await mesh.peer('Bob')
    expect(await alice.state.set('lock', 'alice', { ifVersion: 0 })).toEqual({ version: 1 })
    await expect(bob.state.set('lock', 'bob', { ifVersion: 0 })).rejects.toMatchObject({ code: 'version_conflict', version: 1 })
    await expect(bob.state.set('lock', 'bob', { ifVersion: 7 })).rejects.toMatchObject({ code: 'version_conflict', version: 1 })
    expect(await bob.state.set('lock', 'bob', { ifVersion: 1 })).toEqual({ version: 2 })
    await expect(alice.state.set('lock', 'alice', { ifVersion: 1 })).rejects.toMatchObject({ code: 'version_conflict', version: 2 })
    expect(await alice.state.get('lock')).toMatchObject({ value: 'bob' })
  })

  test('a deleted key is unset, its version goes on', async () => {
    await using mesh = await testMesh()
    const alice = await mesh.peer('Alice')
    const bob = await mesh.peer('Bob')
    await alice.state.set('k', null)
    expect(await bob.state.get('k')).toMatchObject({ value: null, version: 1 })
    expect(await bob.state.delete('k')).toBe(true)
    expect(await next(alice, 'state')).toMatchObject({ key: 'k', deleted: true, version: 2 })
    expect(await bob.state.delete('k')).toBe(false)
    expect(await alice.state.get('k')).toBeUndefined()
    expect(await alice.state.list()).toEqual({ entries: [], refused: [] })
    await expect(alice.state.set('k', 1, { ifVersion: 2 })).rejects.toMatchObject({ code: 'version_conflict', version: 0 })
    expect(await alice.state.set('k', 1, { ifVersion: 0 })).toEqual({ version: 3 })
  })

  test('whoever writes at the same time: every key ends as a serial order of the writes would leave it', async () => {
    await using mesh = await testMesh()
    const peers = await Promise.all(['Alice', 'Bob', 'Carol', 'Dave'].map((name) => mesh.peer(name)))
    let round = 0
    const step = fc.record({ peer: fc.nat(3), key: fc.nat(2), act: fc.constantFrom('set', 'delete', 'swap', 'claim') })
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 16 }), async (steps) => {
        round++
        const name = (key: number) => `${round}:${key}`
        const done = await Promise.all(
          steps.map(async ({ peer: i, key, act }, value) => {
            const { state } = peers[i]!
            try {
              if (act === 'delete') return { key, version: undefined, deleted: await state.delete(name(key)), value }
              const condition = act === 'claim' ? { ifVersion: 0 } : act === 'swap' ? { ifVersion: (await state.get(name(key)))?.version ?? 0 } : {}
              return { key, version: (await state.set(name(key), value, condition)).version, deleted: false, value }
            } catch (error) {
              expect(error).toMatchObject({ code: 'version_conflict' })
              return { key, version: undefined, deleted: false, value }
            }
          }),
        )
        for (const key of [0, 1, 2]) {
          const versions = done.filter((d) => d.key === key && d.version !== undefined)
          expect(new Set(versions.map((d) => d.version)).size).toBe(versions.length)
          const writes = versions.length + done.filter((d) => d.key === key && d.deleted).length
          const entries = await Promise.all(peers.map((peer) => peer.state.get(name(key))))
          for (const entry of entries) expect(entry).toEqual(entries[0])
          const [entry] = entries
          if (entry) expect(versions.find((d) => d.version === entry.version)?.value).toBe(entry.value)
          expect(entry?.version ?? writes).toBe(writes)
        }
      }),
      { numRuns: 25 },
    )
  })
})

test('10,000 keys and no more: what is there can be changed and deleted', async () => {
  await using mesh = await testMesh()
  const alice = await mesh.peer('Alice')
  await alice.state.set('first', 1)
  const { db } = await testStore()
  await db.execute(sql`insert into mesh.state select mesh_id, id || n, version, key, value, epoch, nonce, ciphertext, deleted, 1, writer_hash, updated_by_presence, updated_by_name, updated_at
    from mesh.state, generate_series(1, ${limits.stateKeys - 2}::int) n where mesh_id = ${mesh.founder.mesh}`)
  expect(await alice.state.set('last', 1)).toEqual({ version: 1 })
  await expect(alice.state.set('one more', 1)).rejects.toMatchObject({ code: 'quota_exceeded' })
  expect(await alice.state.set('first', 'x'.repeat(2000))).toEqual({ version: 2 })
  expect(await alice.state.delete('last')).toBe(true)
  expect(await alice.state.get('first')).toMatchObject({ version: 2 })
})

test('list shows all keys by name, or those with a prefix', async () => {
  await using mesh = await testMesh()
  const alice = await mesh.peer('Alice')
  const bob = await mesh.peer('Bob')
  for (const key of ['vote:b', 'vote:a', 'sprint']) await alice.state.set(key, key)
  expect((await bob.state.list()).entries.map(({ key, value, by }) => [key, value, by.name])).toEqual([
    ['sprint', 'sprint', 'Alice'],
    ['vote:a', 'vote:a', 'Alice'],
    ['vote:b', 'vote:b', 'Alice'],
  ])
  expect((await bob.state.list({ prefix: 'vote:' })).entries.map(({ key }) => key)).toEqual(['vote:a', 'vote:b'])
})

test('members vote by writing state, the lead counts', async () => {
  verifies('groups.vote')
  await using mesh = await testMesh()
  const lead = await mesh.peer('Lead')
  const voters = await Promise.all(['Alice', 'Bob', 'Carol'].map((name) => mesh.peer(name)))
  await Promise.all(voters.map((voter, i) => voter.state.set(`vote:rename-repo:${voter.me.name.toLowerCase()}`, i === 1 ? 'reject' : 'approve')))
  const votes = (await lead.state.list({ prefix: 'vote:rename-repo:' })).entries
  expect(votes.map(({ value, by }) => `${by.name} ${String(value)}`)).toEqual(['Alice approve', 'Bob reject', 'Carol approve'])
})

describe('keys and values', () => {
  const hostile: [what: string, key: string][] = [
    ['empty', ''],
    ['over 128 characters', 'k'.repeat(limits.stateKeyChars + 1)],
    ['with NUL', 'a\0'],
    ['with a line break', 'a\nb'],
    ['with a bidi override', 'a\u202eb'],
    ['with a zero-width space', 'a\u200bb'],
    ['with a tag character', 'a\u{e0041}'],
    ['with half a character', 'a\ud800'],
  ]
  test.each(hostile)('a key that is %s is refused by name', async (_, key) => {
    await using mesh = await testMesh()
    const alice = await mesh.peer('Alice')
    for (const attempt of [alice.state.set(key, 1), alice.state.get(key), alice.state.delete(key)])
      await expect(attempt).rejects.toMatchObject({ code: 'bad_key' })
  })

  const deep = (n: number) => JSON.parse('['.repeat(n) + ']'.repeat(n)) as unknown
  test.each([
    ['undefined', undefined, 'bad_value'],
    ['a function', () => {}, 'bad_value'],
    ['infinite', Infinity, 'bad_value'],
    ['with NUL', ['a\0'], 'bad_value'],
    ['with half a character', { a: '\udc00' }, 'bad_value'],
    ['named with half a character', { '\udc00': 1 }, 'bad_value'],
    ['33 deep', deep(33), 'bad_value'],
    ['64 KiB and a byte', 'x'.repeat(limits.stateValue - 1), 'too_large'],
    ['64 KiB and a byte in UTF-8', `${'ü'.repeat(limits.stateValue / 2 - 1)}x`, 'too_large'],
  ])('a value that is %s is refused by name', async (_, value, code) => {
    await using mesh = await testMesh()
    const alice = await mesh.peer('Alice')
    await expect(alice.state.set('k', value)).rejects.toMatchObject({ code })
    expect((await alice.state.list()).entries).toEqual([])
  })

  test('the longest key, the largest and the deepest value pass; so do keys that name the parts of objects', async () => {
    await using mesh = await testMesh()
    const alice = await mesh.peer('Alice')
    const bob = await mesh.peer('Bob')
    const values: [string, unknown][] = [
      ['k'.repeat(limits.stateKeyChars), 'ü'.repeat(limits.stateValue / 2 - 1)],
      ['deep', deep(32)],
      ['__proto__', JSON.parse('{"__proto__":{"polluted":true},"constructor":null}')],
      ['constructor', [null, false, -1.5, 1e300, '']],
      ['hasOwnProperty', 0],
    ]
    for (const [key, value] of values) await alice.state.set(key, value)
    for (const [key, value] of values) expect(JSON.stringify((await bob.state.get(key))?.value)).toBe(JSON.stringify(value))
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined()
    expect((await bob.state.list()).entries).toHaveLength(values.length)
  })

  test('two spellings of one key are one key', async () => {
    await using mesh = await testMesh()
    const alice = await mesh.peer('Alice')
    await alice.state.set('caf\u00e9', 1)
    expect(await alice.state.set('cafe\u0301', 2)).toEqual({ version: 2 })
  })
})

test('who was away hears afterwards of the last change of each key, and of nothing twice', async () => {
  await using mesh = await testMesh()
  const alice = await mesh.peer('Alice')
  const bob = await mesh.peer('Bob')
  for (const key of ['before', 'busy']) {
    await alice.state.set(key, 0)
    await next(bob, 'state')
  }
  bob.line.refuse()
  bob.line.cut()
  await next(bob, 'connection', ({ phase }) => phase === 'waiting')
  for (const value of [1, 2, 3]) await alice.state.set('busy', value)
  await alice.state.delete('before')
  bob.line.refuse(false)
  await mesh.advance(5000)
  const told = [await next(bob, 'state'), await next(bob, 'state')]
  expect(told.map(({ key, version, deleted }) => [key, version, deleted] as const).toSorted(([a], [b]) => (a < b ? -1 : 1))).toEqual([
    ['before', 2, true],
    ['busy', 4, false],
  ])
  await alice.state.set('after', 1)
  expect(await next(bob, 'state')).toMatchObject({ key: 'after' })
})

test('a new mesh key changes neither rows nor versions; who was removed reads and writes no more', async () => {
  await using mesh = await testMesh()
  const admin = await mesh.peer('Founder', { identity: mesh.founder })
  const alice = await mesh.peer('Alice')
  const leaver = await mesh.peer('Leaver')
  await leaver.state.set('sprint', 1)
  await next(alice, 'state')
  await admin.amend({ revoke: { members: [leaver.identity.member.publicKey] } })
  await next(alice, 'policy', ({ v }) => v > 1)
  expect(await alice.state.get('sprint')).toMatchObject({ value: 1, version: 1, by: { name: 'Leaver' } })
  expect(await alice.state.set('sprint', 2, { ifVersion: 1 })).toEqual({ version: 2 })
  await expect(leaver.state.set('sprint', 3)).rejects.toMatchObject({ code: 'revoked' })
  const carol = await mesh.peer('Carol')
  expect(await carol.state.set('sprint', 3, { ifVersion: 2 })).toEqual({ version: 3 })
  const { entries } = await carol.calls.state.list({})
  expect(entries.map(({ version, record }) => [version, record?.e])).toEqual([[3, 2]])
})

test('in a plain mesh the same works, at the broker’s word', async () => {
  await using mesh = await testMesh()
  const admin = await mesh.peer('Founder', { identity: mesh.founder })
  const bob = await mesh.peer('Bob')
  await admin.state.set('sealed', 1)
  await next(bob, 'state')
  await admin.amend({ allow: { state: 'plain' } })
  await next(bob, 'policy', ({ v }) => v > 1)
  await admin.state.set('plain', { a: [1] })
  expect(await next(bob, 'state')).toMatchObject({ key: 'plain', value: { a: [1] }, verified: false, by: { name: 'Founder' } })
  expect(await bob.state.get('plain')).toMatchObject({ value: { a: [1] }, version: 1, verified: false })
  expect(await bob.state.set('plain', 2, { ifVersion: 1 })).toEqual({ version: 2 })
  expect(await bob.state.delete('plain')).toBe(true)
  expect(await admin.state.list()).toEqual({ entries: [], refused: [] })
})
