import { openStore, readMigrations, type Migration } from '@claudemesh/drivers'
import postgres from 'postgres'
import { beforeAll, describe, expect, inject, test } from 'vitest'
import { b64u, testBroker, TestMesh, type Peer } from '../broker/kit.ts'
import { postgresUrl } from '../harness/postgres.ts'

/** What a broker of that time can write to a table, and what it may leave out. */
interface Column {
  readonly of: string
  readonly type: string
  /** Whether an insert that does not name it is refused. */
  readonly needed: boolean
}

interface Schema {
  readonly name: string
  readonly columns: ReadonlyMap<string, Column>
  /** What the store refuses beside: by table, as PostgreSQL writes it. */
  readonly constraints: ReadonlyMap<string, string>
}

/** What of `before` does not go on under `after`, a sentence each: a broker of then would fail on it. */
function refusals(before: Schema, after: Schema): string[] {
  const tables = new Set([...before.columns.values()].map(({ of }) => of))
  const gone = [...before.columns].filter(([name, { type }]) => after.columns.get(name)?.type !== type).map(([name]) => `${name} is gone or of another type`)
  const needed = [...after.columns]
    .filter(([name, column]) => tables.has(column.of) && column.needed && before.columns.get(name)?.needed !== true)
    .map(([name]) => `${name} has no default`)
  const narrower = [...after.constraints]
    .filter(([constraint, of]) => tables.has(of) && !before.constraints.has(constraint))
    .map(([constraint]) => `${constraint} is new on a table that was there`)
  const unique = [...before.constraints].filter(([constraint]) => !after.constraints.has(constraint)).map(([constraint]) => `${constraint} is gone`)
  return [...gone, ...needed, ...narrower, ...unique]
}

async function schemaOf(url: string, name: string): Promise<Schema> {
  const sql = postgres(url, { max: 1, onnotice: () => {} })
  const columns = await sql<{ of: string; name: string; type: string; needed: boolean }[]>`
    select table_name as of, table_name || '.' || column_name as name, data_type || coalesce(' ' || udt_name, '') as type,
      is_nullable = 'NO' and column_default is null and is_identity = 'NO' and is_generated = 'NEVER' as needed
    from information_schema.columns where table_schema = 'mesh'`
  // Unique indexes refuse as constraints do, and primary keys are what ON CONFLICT names.
  const constraints = await sql<{ of: string; text: string }[]>`
    select conrelid::regclass::text as of, conrelid::regclass::text || ' ' || pg_get_constraintdef(oid) as text
    from pg_constraint where connamespace = 'mesh'::regnamespace and contype <> 'n'
    union all select indrelid::regclass::text, pg_get_indexdef(indexrelid) from pg_index
    where indisunique and indrelid::regclass::text like 'mesh.%' and not exists (select from pg_constraint where conindid = indexrelid)`
  await sql.end()
  return {
    name,
    columns: new Map(columns.map(({ name: column, ...rest }) => [column, rest])),
    constraints: new Map(constraints.map(({ of, text }) => [text, of.replace('mesh.', '')])),
  }
}

/** The schema after each step of these. */
async function history(steps: readonly Migration[]): Promise<Schema[]> {
  const url = await postgresUrl(inject('postgres'))
  const schemas: Schema[] = []
  for (const [i, { name }] of steps.entries()) {
    await using _ = await openStore(url, { migrations: steps.slice(0, i + 1) })
    schemas.push(await schemaOf(url, name))
  }
  return schemas
}

describe('each step of the schema', () => {
  let steps: Migration[]
  beforeAll(async () => void (steps = await readMigrations()))

  test('leaves brokers of every earlier one able to read and write', async () => {
    const schemas = await history(steps)
    const now = schemas.at(-1) as Schema
    expect(now.columns.size).toBeGreaterThan(100)
    expect(schemas.flatMap((then) => refusals(then, now).map((why) => `${then.name}: ${why}`))).toEqual([])
  })

  test.each([
    ['alter table mesh.mesh drop column slug', /mesh\.slug is gone/],
    ['alter table mesh.mesh rename column slug to name', /mesh\.slug is gone/],
    ['alter table mesh.delivery alter column size_bytes type bigint', /delivery\.size_bytes is gone or of another type/],
    ['drop table mesh.keybox', /keybox\.mk is gone/],
    ['alter table mesh.mesh add column plan text not null', /mesh\.plan has no default/],
    ['alter table mesh.delivery alter column wrap set not null', /delivery\.wrap has no default/],
    ['alter table mesh.mesh alter column state_floor drop default', /mesh\.state_floor has no default/],
    ['alter table mesh.mesh add constraint short check (length(slug) < 9)', /CHECK .* is new/],
    ['create unique index on mesh.mesh (slug)', /UNIQUE INDEX .* is new/],
    ['alter table mesh.state drop constraint state_mesh_id_id_pk', /PRIMARY KEY .* is gone/],
  ])('%s would be noticed', async (statement, why) => {
    const url = await postgresUrl(inject('postgres'))
    await using stack = new AsyncDisposableStack()
    stack.use(await openStore(url))
    const before = await schemaOf(url, 'now')
    stack.use(await openStore(url, { migrations: [...steps, { name: '9999_next.sql', statements: [statement] }] }))
    expect(refusals(before, await schemaOf(url, 'next')).join('\n')).toMatch(why)
  })
})

/** Asks for a page of everything, so that a statement of each kind has run. */
async function everything(alice: Peer, bob: Peer): Promise<string[]> {
  const record = { e: 1, n: b64u(24), c: b64u(64) }
  const { messageId } = await alice.send([bob.key], 'hello', { targetSpec: '*', shared: true })
  const pushed = await bob.wire.next('push')
  bob.surface(messageId)
  const requests = [
    { type: 'message_status', messageId },
    { type: 'set_state', stateId: b64u(16), version: 1, record },
    { type: 'list_state' },
    { type: 'remember', memoryId: b64u(16), record },
    { type: 'sync_memories', after: 0 },
    { type: 'list_members' },
    { type: 'list_invites' },
    { type: 'list_files' },
    { type: 'get_keyboxes' },
  ]
  const answers = [pushed.type]
  for (const request of requests) answers.push((await alice.wire.ask(request)).type)
  return answers
}

describe('a broker that serves while a newer one brings the schema further', () => {
  test('goes on with all it does, on the connections and statements it has', async () => {
    const url = await postgresUrl(inject('postgres'))
    await using broker = await testBroker(url)
    const mesh = await new TestMesh(broker.url, broker.clock).create()
    await using alice = await mesh.peer('Alice')
    await using bob = await mesh.peer('Bob')
    const before = await everything(alice, bob)
    expect(before).not.toContain('error')
    const tables = new Set([...(await schemaOf(url, 'now')).columns.values()].map(({ of }) => of))
    const statements = [...tables].map((table) => `alter table mesh."${table}" add column next text default 'x' not null`)
    const next = { name: '9999_next.sql', statements: [...statements, 'create table mesh.next (id text primary key)'] }
    await using _ = await openStore(url, { migrations: [...(await readMigrations()), next] })
    for (let i = 0; i < 8; i++) expect(await everything(alice, bob)).toEqual(before)
    await using carol = await mesh.peer('Carol')
    expect(await carol.send([alice.key], 'new here')).toMatchObject({ type: 'ack', queued: 1 })
  })

  test('is not held up where a table is in use for long: the newer one does not start, in words, and nothing has changed', async () => {
    const url = await postgresUrl(inject('postgres'))
    await using broker = await testBroker(url)
    const mesh = await new TestMesh(broker.url, broker.clock).create()
    await using alice = await mesh.peer('Alice')
    await using bob = await mesh.peer('Bob')
    const reader = postgres(url, { max: 1, onnotice: () => {} })
    const before = await schemaOf(url, 'now')
    await reader.begin(async (reading) => {
      await reading`select from mesh.delivery`
      const next = { name: '9999_next.sql', statements: ['create table mesh.half (id text)', 'alter table mesh.delivery add column next text'] }
      const opened = openStore(url, { migrations: [...(await readMigrations()), next] })
      await expect(opened).rejects.toThrow(expect.objectContaining({ cause: expect.objectContaining({ code: '55P03' }) }))
      expect(await alice.send([bob.key], 'hello')).toMatchObject({ type: 'ack', queued: 1 })
    })
    await reader.end()
    expect(await schemaOf(url, 'now')).toEqual(before)
  })
})
