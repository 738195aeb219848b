import { createReadStream, createWriteStream } from 'node:fs'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { sql } from 'drizzle-orm'
import type { Database } from '@claudemesh/broker'

/** Why a backup cannot be restored here, with the remedy. */
export class RestoreError extends Error {
  override readonly name = 'RestoreError'
}

interface Column {
  readonly name: string
  readonly type: string
}

type Row = readonly (string | null)[]

const page = 500
// Leases of brokers that run, not data.
const left = new Set(['node'])

/** Writes everything the store keeps to a file that only its owner can read, as one consistent picture, while brokers serve; how many rows there are. Files are not in it: they are where BLOB_URL says. */
export async function backUp(db: Database, file: string): Promise<number> {
  const out = createWriteStream(file, { flags: 'wx', mode: 0o600 })
  await once(out, 'open')
  const line = async (value: unknown) => {
    if (!out.write(`${JSON.stringify(value)}\n`)) await once(out, 'drain')
  }
  const count = await db.transaction(
    async (tx) => {
      let rows = 0
      await line({ claudemesh: 'backup', migrations: await migrationsOf(tx) })
      for (const table of await tablesOf(tx)) {
        const columns = await columnsOf(tx, table)
        await line({ table, columns: columns.map(({ name }) => name) })
        const fields = columns.map(({ name }) => `${quoted(name)}::text`).join(', ')
        await tx.execute(sql.raw(`declare backup no scroll cursor for select to_jsonb(array[${fields}])::text as row from mesh.${quoted(table)}`))
        for (;;) {
          const fetched = await read<{ row: string }>(tx, `fetch ${page} from backup`)
          for (const { row } of fetched) await line(JSON.parse(row))
          rows += fetched.length
          if (fetched.length < page) break
        }
        await tx.execute(sql.raw('close backup'))
      }
      await line({ rows })
      return rows
    },
    { isolationLevel: 'repeatable read', accessMode: 'read only' },
  )
  out.end()
  await once(out, 'close')
  return count
}

/** Puts a backup into a store that is empty and of the same version, all or nothing; how many rows there were. Throws RestoreError. */
export async function restore(db: Database, file: string): Promise<number> {
  const input = createReadStream(file)
  await once(input, 'open')
  return db.transaction(async (tx) => {
    let into: { insert: string; waiting: Row[] } | undefined
    let rows = 0
    let end: number | undefined
    let begun = false
    const flush = async () => {
      if (!into || into.waiting.length === 0) return
      await tx.execute(sql`${sql.raw(into.insert)} from jsonb_array_elements(${JSON.stringify(into.waiting)}::jsonb) r`)
      into.waiting = []
    }
    for await (const text of createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY })) {
      const line = parsed(text)
      if (!begun) {
        await checkHead(tx, line)
        begun = true
      } else if (Array.isArray(line)) {
        if (!into) throw new RestoreError('the file is damaged: a row stands before its table')
        rows = into.waiting.push(line as Row) && rows + 1
        if (into.waiting.length >= page) await flush()
      } else {
        await flush()
        if (typeof line['table'] === 'string') into = { insert: await insertInto(tx, line['table'], line['columns']), waiting: [] }
        else end = line['rows'] as number
      }
    }
    if (end !== rows) throw new RestoreError('the file is cut short: make the backup again')
    await tx.execute(sql`select setval(pg_get_serial_sequence('mesh.delivery', 'seq'), (select coalesce(max(seq), 0) + 1 from mesh.delivery))`)
    await tx.execute(sql`select setval(pg_get_serial_sequence('mesh.file', 'place'), (select coalesce(max(place), 0) + 1 from mesh.file))`)
    return rows
  })
}

async function checkHead(db: Database, head: Record<string, unknown> | unknown[]): Promise<void> {
  if (Array.isArray(head) || head['claudemesh'] !== 'backup') throw new RestoreError('this is no backup of a broker')
  if (JSON.stringify(head['migrations']) !== JSON.stringify(await migrationsOf(db)))
    throw new RestoreError('the backup was made by another version: restore it with that version, then start this one')
  const [taken] = await read(db, 'select 1 from mesh.mesh limit 1')
  if (taken) throw new RestoreError('this store holds meshes already: restore into an empty one')
}

/** Tables and columns come from a file, so only those that exist here are named in a statement. */
async function insertInto(db: Database, table: string, names: unknown): Promise<string> {
  const known = (await tablesOf(db)).includes(table) ? await columnsOf(db, table) : []
  if (known.length === 0 || JSON.stringify(names) !== JSON.stringify(known.map(({ name }) => name)))
    throw new RestoreError(`the file is damaged: ${JSON.stringify(table)} is no table of this version`)
  const values = known.map(({ type }, i) => `(r->>${i})::${type}`)
  return `insert into mesh.${quoted(table)} (${known.map(({ name }) => quoted(name)).join(', ')}) overriding system value select ${values.join(', ')}`
}

async function tablesOf(db: Database): Promise<string[]> {
  const found = await read<{ name: string }>(db, `select tablename as name from pg_tables where schemaname = 'mesh' order by tablename <> 'mesh', tablename`)
  return found.map(({ name }) => name).filter((name) => !left.has(name))
}

function columnsOf(db: Database, table: string): Promise<Column[]> {
  return read<Column>(
    db,
    `select attname as name, format_type(atttypid, atttypmod) as type from pg_attribute
     where attrelid = 'mesh.${quoted(table)}'::regclass and attnum > 0 and not attisdropped and attgenerated = '' order by attnum`,
  )
}

async function migrationsOf(db: Database): Promise<string[]> {
  return (await read<{ name: string }>(db, 'select name from public.claudemesh_migration order by name')).map(({ name }) => name)
}

async function read<T>(db: Database, text: string): Promise<T[]> {
  const result: unknown = await db.execute(sql.raw(text))
  return (Array.isArray(result) ? result : (result as { rows: T[] }).rows) as T[]
}

function parsed(text: string): Record<string, unknown> | unknown[] {
  try {
    return JSON.parse(text) as Record<string, unknown> | unknown[]
  } catch {
    throw new RestoreError('the file is damaged, or no backup of a broker')
  }
}

const quoted = (name: string) => `"${name.replaceAll('"', '""')}"`
