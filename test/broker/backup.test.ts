import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sql } from 'drizzle-orm'
import { afterAll, describe, expect, inject, test } from 'vitest'
import { createBroker } from '@claudemesh/broker'
import { backUp, restore } from '@claudemesh/broker-app/backup'
import { openBlob, openStore } from '@claudemesh/drivers'
import { rows } from '../../packages/broker/src/sql.ts'
import { TestClock } from '../harness/clock.ts'
import { postgresUrl } from '../harness/postgres.ts'
import { fileId, shared } from './file-kit.ts'
import { TestMesh } from './kit.ts'

const folder = mkdtempSync(join(tmpdir(), 'claudemesh-backup-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
let files = 0
const fresh = () => join(folder, `${++files}.jsonl`)

const pglite = async () => 'pglite:'
const postgres = () => postgresUrl(inject('postgres'))

describe.each([
  ['PGlite to PostgreSQL', pglite, postgres],
  ['PostgreSQL to PGlite', postgres, pglite],
] as const)('from %s', (_, from, to) => {
  test('sessions go on, queues are intact and in order, null values stay', async () => {
    const clock = new TestClock()
    const file = fresh()
    await using old = await openStore(await from())
    await using blob = await openBlob('file:')
    await using broker = await createBroker({ store: old, clock, blob })
    const first = new TestMesh(broker.url, clock)
    first.allow = { ...first.allow, state: 'plain' }
    first.policy = first.makePolicy(1)
    const mesh = await first.create()
    const member = await mesh.enrolled('Anna')
    const [alice, bob] = [await mesh.peer('Alice'), await mesh.peer('Bob', { member })]
    expect(await alice.wire.ask({ type: 'set_state', key: 'empty', value: null, version: 1 })).toMatchObject({ version: 1 })
    await bob[Symbol.asyncDispose]()
    const sent = [await alice.send([bob.key], 'one'), await alice.send([bob.key], 'two\nlines')]
    const before = await shared(alice)
    expect(await backUp(old.db, file)).toBeGreaterThan(8)
    expect(statSync(file).mode & 0o777).toBe(0o600)
    // What comes after the backup is lost by a restore.
    await alice.send([bob.key], 'three')

    await using store = await openStore(await to())
    await restore(store.db, file)
    await using again = await createBroker({ store, clock, blob, port: 0, origins: [broker.url] })
    const dialled = async (peer: typeof alice) => {
      await peer[Symbol.asyncDispose]()
      return peer.connect(again.url)
    }
    await dialled(alice)
    expect(await dialled(bob)).toMatchObject({ queued: 2 })
    for (const { id } of sent) expect(await bob.wire.next('push')).toMatchObject({ id })
    expect(await alice.wire.ask({ type: 'get_state', key: 'empty' })).toMatchObject({ version: 1, value: null })
    // Files are listed in their order, which must go on behind those that were restored.
    const later = fileId()
    expect(await alice.wire.ask({ type: 'upload_file', fileId: later, kind: 'shared', size: 100 })).toMatchObject({ type: 'upload' })
    const places = await rows<{ id: string; place: number }>(store.db, sql`select id, place::int as place from mesh.file order by place`)
    expect(places).toEqual([
      { id: before, place: expect.any(Number) },
      { id: later, place: expect.any(Number) },
    ])
    expect(places[1]?.place).toBeGreaterThan(places[0]?.place ?? 0)
    await alice.send([bob.key], 'four')
    expect(await bob.wire.next('push')).toMatchObject({ type: 'push' })
    for (const peer of [alice, bob]) await peer[Symbol.asyncDispose]()
  })
})

describe('a restore is refused', async () => {
  const store = await openStore('pglite:')
  afterAll(() => store[Symbol.asyncDispose]())
  const good = fresh()
  const changed = (change: (text: string) => string) => {
    const file = fresh()
    writeFileSync(file, change(readFileSync(good, 'utf8')))
    return file
  }

  test('from what is damaged, cut short, foreign or of another version', async () => {
    await backUp(store.db, good)
    await expect(
      restore(
        store.db,
        changed(() => 'hello'),
      ),
    ).rejects.toThrow(/damaged, or no backup/)
    await expect(
      restore(
        store.db,
        changed(() => '{}\n'),
      ),
    ).rejects.toThrow(/no backup of a broker/)
    await expect(
      restore(
        store.db,
        changed((text) => text.slice(0, text.lastIndexOf('{"rows"'))),
      ),
    ).rejects.toThrow(/cut short/)
    await expect(
      restore(
        store.db,
        changed((text) => text.replace('0000', '9999')),
      ),
    ).rejects.toThrow(/another version/)
    await expect(
      restore(
        store.db,
        changed((text) => text.replace('{"table":"mesh"', '{"table":"pg_user"')),
      ),
    ).rejects.toThrow(/no table of this version/)
    await expect(
      restore(
        store.db,
        changed((text) => text.replace('{"table"', '["x"]\n{"table"')),
      ),
    ).rejects.toThrow(/a row stands before its table/)
  })

  test('into a store that holds meshes', async () => {
    await using broker = await createBroker({ store, clock: new TestClock() })
    await new TestMesh(broker.url, new TestClock()).create()
    await expect(restore(store.db, good)).rejects.toThrow(/holds meshes already/)
  })

  test('and a backup overwrites nothing', async () => {
    await expect(backUp(store.db, good)).rejects.toThrow('EEXIST')
  })
})
