import { sql, type SQL } from 'drizzle-orm'
import { limits, MeshError, type MeshId, type SessionPubkey } from '@claudemesh/protocol'
import type { Database } from './ports.ts'
import { rows } from './sql.ts'

/** A key of the shared state as it is stored, in one of its two forms. */
export interface StateRow {
  readonly id: string
  readonly version: number
  /** Sealed form. */
  readonly record: { readonly e: number; readonly n: string; readonly c: string } | undefined
  /** Plain form; `json` is absent for a deleted key. */
  readonly key: string | undefined
  readonly json: string | undefined
  readonly deleted: boolean
  readonly writerHash: string
  readonly updatedByPresence: SessionPubkey
  readonly updatedByName: string
  readonly updatedAt: number
}

interface Found {
  readonly id: string
  readonly version: number
  readonly key: string | null
  readonly json: string | null
  readonly epoch: number | null
  readonly nonce: string | null
  readonly ciphertext: string | null
  readonly deleted: boolean
  readonly writer_hash: string
  readonly updated_by_presence: SessionPubkey
  readonly updated_by_name: string
  readonly updated_at: number
  readonly chain: string[]
}

export type Read = StateRow & { readonly chain: readonly string[] }

const pageBytes = 256 * 1024

/** Stores a row if its version follows the present one. Throws `version_conflict` with the present version, or `quota_exceeded`. */
export async function putState(db: Database, meshId: MeshId, row: StateRow): Promise<void> {
  const size = (row.record?.c.length ?? row.json?.length ?? 0) + (row.key?.length ?? 0)
  const [outcome] = await rows<{ stored: number; version: number }>(db, putStatement(meshId, row, size))
  if (outcome?.stored === 1) return
  const version = await versionOf(db, meshId, row.id)
  if (version !== row.version - 1) throw new MeshError('version_conflict', `the key is at version ${version}, not ${row.version - 1}`, { version })
  throw new MeshError(
    'quota_exceeded',
    `the shared state of a mesh has at most ${limits.stateKeys} keys and ${limits.stateBytes} bytes; deleted keys count for 30 days`,
  )
}

/** The version a write of this key has to exceed. */
export async function versionOf(db: Database, meshId: MeshId, id: string): Promise<number> {
  const [row] = await rows<{ version: number }>(
    db,
    sql`select coalesce(s.version, m.state_floor) as version from mesh.mesh m left join mesh.state s on s.mesh_id = m.id and s.id = ${id} where m.id = ${meshId}`,
  )
  return row?.version ?? 0
}

export async function readState(db: Database, meshId: MeshId, id: string): Promise<Read | undefined> {
  const [row] = await rows<Found>(db, sql`${select} where s.mesh_id = ${meshId} and s.id = ${id}`)
  return row && toRead(row)
}

/** Rows of one form after the cursor, by id: as many as fit into a page, and whether there are more. */
export async function pageOfState(
  db: Database,
  meshId: MeshId,
  { form, after, since }: { form: 'sealed' | 'plain'; after: string; since: number },
): Promise<{ page: Read[]; more: boolean }> {
  const ofForm = form === 'plain' ? sql`s.key is not null` : sql`s.key is null`
  const found = await rows<Found & { before: number }>(
    db,
    sql`select * from (
      select page.*, (sum(size_bytes) over (order by id) - size_bytes)::float8 as before
      from (${select} where s.mesh_id = ${meshId} and ${ofForm} and s.id > ${after} and s.updated_at >= ${since}::bigint order by s.id limit ${limits.statePerPage + 1}::int) page
    ) summed order by id`,
  )
  const page = found.slice(0, limits.statePerPage).filter((row) => row.before < pageBytes)
  return { page: page.map(toRead), more: page.length < found.length }
}

/** Forgets deleted keys; keys without a row go on above their versions. */
export async function removeTombstones(db: Database, before: number): Promise<void> {
  await db.execute(sql`
    with gone as (delete from mesh.state s where s.deleted and s.updated_at < ${before}::bigint returning s.mesh_id, s.version)
    update mesh.mesh m set state_floor = greatest(m.state_floor, g.version)
    from (select mesh_id, max(version) as version from gone group by mesh_id) g where m.id = g.mesh_id`)
}

const select = sql`
  select s.id, s.version, s.key, s.value::text as json, s.epoch, s.nonce, s.ciphertext, s.deleted, s.size_bytes, s.writer_hash,
    s.updated_by_presence, s.updated_by_name, s.updated_at::float8 as updated_at, w.chain
  from mesh.state s join mesh.writer w on w.mesh_id = s.mesh_id and w.hash = s.writer_hash`

// Quotas are counted when a row is new or grows; a deletion always has room.
function putStatement(meshId: MeshId, row: StateRow, size: number): SQL {
  const { id, version, record, key, json, deleted } = row
  return sql`
    with old as (select s.version, s.size_bytes from mesh.state s where s.mesh_id = ${meshId} and s.id = ${id}),
    put as (
      insert into mesh.state as s (mesh_id, id, version, key, value, epoch, nonce, ciphertext, deleted, size_bytes, writer_hash, updated_by_presence, updated_by_name, updated_at)
      select m.id, ${id}::text, ${version}::int, ${key ?? null}::text, ${json ?? null}::text::jsonb, ${record?.e ?? null}::int, ${record?.n ?? null}::text, ${record?.c ?? null}::text,
        ${deleted}::boolean, ${size}::int, ${row.writerHash}::text, ${row.updatedByPresence}::text, ${row.updatedByName}::text, ${row.updatedAt}::bigint
      from mesh.mesh m left join old on true
      where m.id = ${meshId} and ${version}::int = coalesce(old.version, m.state_floor) + 1
        and (${deleted}::boolean or ${size}::int <= coalesce(old.size_bytes, -1) or exists (
          select from (select count(*) as keys, coalesce(sum(u.size_bytes), 0) as bytes from mesh.state u where u.mesh_id = ${meshId}) used
          where used.keys + (case when old.version is null then 1 else 0 end) <= ${limits.stateKeys}::int
            and used.bytes + ${size}::int - coalesce(old.size_bytes, 0) <= ${limits.stateBytes}::int))
      on conflict (mesh_id, id) do update set version = excluded.version, key = excluded.key, value = excluded.value, epoch = excluded.epoch, nonce = excluded.nonce,
        ciphertext = excluded.ciphertext, deleted = excluded.deleted, size_bytes = excluded.size_bytes, writer_hash = excluded.writer_hash,
        updated_by_presence = excluded.updated_by_presence, updated_by_name = excluded.updated_by_name, updated_at = excluded.updated_at
        where s.version = excluded.version - 1
      returning s.version)
    select count(*)::int as stored, max(version) as version from put`
}

function toRead(row: Found): Read {
  const { id, version, deleted, epoch, nonce, ciphertext } = row
  return {
    id,
    version,
    record: epoch === null || nonce === null || ciphertext === null ? undefined : { e: epoch, n: nonce, c: ciphertext },
    key: row.key ?? undefined,
    json: row.json ?? undefined,
    deleted,
    writerHash: row.writer_hash,
    updatedByPresence: row.updated_by_presence,
    updatedByName: row.updated_by_name,
    updatedAt: row.updated_at,
    chain: row.chain,
  }
}
