import { sql, type SQL } from 'drizzle-orm'
import { limits, MeshError, type MemberId, type MemoryId, type MeshId } from '@claudemesh/protocol'
import type { Database } from './ports.ts'
import { rows } from './sql.ts'

interface Sealed {
  readonly e: number
  readonly n: string
  readonly c: string
}

/** What is kept of a memory: its seal, or its signed token with what there is to search in. */
export type Kept = { readonly record: Sealed } | { readonly token: string; readonly content: string; readonly tags: readonly string[] }

interface NewMemory {
  readonly id: MemoryId
  readonly kept: Kept
  readonly writerHash: string
  readonly memberId: MemberId
  readonly memberName: string
  readonly at: number
}

/** A memory as it goes back to clients. */
export interface Memory {
  readonly id: MemoryId
  readonly seq: number
  readonly record: Sealed | undefined
  readonly token: string | undefined
  readonly chain: readonly string[]
}

/** A row of `memoryColumns`. */
export interface FoundMemory {
  readonly id: MemoryId
  readonly seq: number
  readonly epoch: number | null
  readonly nonce: string | null
  readonly ciphertext: string | null
  readonly token: string | null
  readonly chain: string[]
}

/** What a statement that gives memories selects, with `m` for the memory and `w` for its writer. */
export const memoryColumns = sql`m.id, m.seq::float8 as seq, m.epoch, m.nonce, m.ciphertext, m.token, w.chain`

/** Stores a memory and gives its seq; undefined when it was stored before. Throws `id_conflict` or `quota_exceeded`. */
export async function putMemory(db: Database, meshId: MeshId, memory: NewMemory): Promise<number | undefined> {
  const [put] = await rows<{ seq: number; stored: number }>(db, putStatement(meshId, memory))
  if (put?.stored === 1) return put.seq
  // It came twice at once, and the other one was first: its place is taken, and only that stays.
  if (put) await db.execute(sql`update mesh.memory_head set live = live - 1, total = total - 1 where mesh_id = ${meshId}`)
  const { record, token } = parts(memory.kept)
  const [known] = await rows<{ same: boolean }>(
    db,
    sql`select coalesce(token = ${token ?? null}::text or (nonce = ${record?.n ?? null}::text and ciphertext = ${record?.c ?? null}::text), false) as same
      from mesh.memory where mesh_id = ${meshId} and id = ${memory.id}`,
  )
  if (known?.same) return undefined
  if (known) throw new MeshError('id_conflict', 'another memory has this id')
  throw new MeshError('quota_exceeded', `this mesh holds ${limits.memories} memories, the most there may be; forget what is outdated`)
}

// The head is locked first: whoever reads up to a seq has every row below it.
function putStatement(meshId: MeshId, { id, kept, writerHash, memberId, memberName, at }: NewMemory): SQL {
  const { record, token, content, tags } = parts(kept)
  return sql`
    with head as (
      insert into mesh.memory_head as h (mesh_id, seq, live, total)
      select ${meshId}::text, 1, 1, 1 where not exists (select from mesh.memory where mesh_id = ${meshId} and id = ${id})
      on conflict (mesh_id) do update set seq = h.seq + 1, live = h.live + 1, total = h.total + 1
        where h.live < ${limits.memories}::int and h.total < ${limits.memories * 2}::int
      returning seq),
    kept as (
      insert into mesh.memory (mesh_id, id, seq, epoch, nonce, ciphertext, token, content, tags, tag_words, size_bytes, writer_hash, remembered_by, remembered_by_name, remembered_at)
      select ${meshId}::text, ${id}::text, seq, ${record?.e ?? null}::int, ${record?.n ?? null}::text, ${record?.c ?? null}::text, ${token ?? null}::text, ${content ?? null}::text,
        string_to_array(${tags.join('\n')}::text, E'\n'), ${tags.join(' ')}::text, ${(record?.c ?? token ?? '').length}::int, ${writerHash}::text, ${memberId}::text, ${memberName}::text, ${at}::bigint
      from head on conflict do nothing returning seq)
    select seq::float8 as seq, (select count(*) from kept)::int as stored from head`
}

/** Who forgets, and the record that says so where the memory was sealed. */
interface Forgetting {
  readonly record: Sealed | undefined
  readonly writerHash: string
  readonly at: number
}

/** Marks a memory as forgotten and gives its new seq; undefined when it was forgotten before. A sealed one is replaced by the record that says so. Throws `not_found`. */
export async function forgetMemory(db: Database, meshId: MeshId, id: MemoryId, { record, writerHash, at }: Forgetting): Promise<number | undefined> {
  const ofForm = record ? sql`ciphertext is not null` : sql`token is not null`
  const seal = record
    ? sql`, epoch = ${record.e}::int, nonce = ${record.n}, ciphertext = ${record.c}, size_bytes = ${record.c.length}::int, writer_hash = ${writerHash}`
    : sql``
  // Of several at once the one that has the row counts; those who waited for it find it forgotten.
  const [done] = await rows<{ seq: number }>(
    db,
    sql`
    with target as materialized (
      select from mesh.memory where mesh_id = ${meshId} and id = ${id} and forgotten_at is null and ${ofForm} for update),
    head as (update mesh.memory_head set seq = seq + 1, live = live - 1 where mesh_id = ${meshId} and exists (select from target) returning seq)
    update mesh.memory m set forgotten_at = ${at}::bigint, seq = head.seq ${seal} from head
    where m.mesh_id = ${meshId} and m.id = ${id} and m.forgotten_at is null returning m.seq::float8 as seq`,
  )
  if (done) return done.seq
  const known = await rows(db, sql`select id from mesh.memory where mesh_id = ${meshId} and id = ${id} and ${ofForm}`)
  if (known.length === 0) throw new MeshError('not_found', 'the mesh has no memory of this id; recall shows the ids')
  return undefined
}

/** The highest seq of a mesh; 0 before its first memory. */
export async function headOfMemories(db: Database, meshId: MeshId): Promise<number> {
  const [head] = await rows<{ seq: number }>(db, sql`select seq::float8 as seq from mesh.memory_head where mesh_id = ${meshId}`)
  return head?.seq ?? 0
}

/** The sealed memories after a seq, in order: as many as fit into a page, and whether there are more. */
export async function pageOfMemories(db: Database, meshId: MeshId, after: number): Promise<{ page: Memory[]; more: boolean }> {
  const found = await rows<FoundMemory & { before: number }>(
    db,
    sql`
    select ${memoryColumns}, m.before from (
      select n.*, (sum(size_bytes) over (order by seq) - size_bytes)::float8 as before
      from (select * from mesh.memory where mesh_id = ${meshId} and seq > ${after}::bigint and ciphertext is not null order by seq limit ${limits.memoriesPerPage + 1}::int) n
    ) m join mesh.writer w on w.mesh_id = ${meshId} and w.hash = m.writer_hash order by m.seq`,
  )
  const page = found.slice(0, limits.memoriesPerPage).filter(({ before }) => before < limits.memoryPageBytes)
  return { page: page.map(toMemory), more: page.length < found.length }
}

export function toMemory({ id, seq, epoch, nonce, ciphertext, token, chain }: FoundMemory): Memory {
  const sealed = epoch !== null && nonce !== null && ciphertext !== null
  return { id, seq, record: sealed ? { e: epoch, n: nonce, c: ciphertext } : undefined, token: token ?? undefined, chain }
}

function parts(kept: Kept): { record?: Sealed; token?: string; content?: string; tags: readonly string[] } {
  return 'record' in kept ? { record: kept.record, tags: [] } : kept
}
