import { sql, type SQL } from 'drizzle-orm'
import { foldName, MeshError, parseQuery, parseTags, type contract, type Input, type MemberId, type MeshId } from '@claudemesh/protocol'
import { memoryColumns, toMemory, type FoundMemory, type Memory } from './memory-rows.ts'
import type { Database } from './ports.ts'
import { rows } from './sql.ts'

type Recall = Input<typeof contract.memory.recall>

const patience = 2000
const usual = 8
// What is ranked: as many that bear every word, and as many that bear some.
const candidates = 500

/** The plain memories that answer a query, best first. A search that takes over two seconds is given up: `timeout`. */
export async function searchMemories(db: Database, meshId: MeshId, recall: Recall): Promise<Memory[]> {
  const { words, phrases, without } = parseQuery(recall.query)
  const ranked = [...new Set([...words, ...phrases.flatMap((phrase) => phrase.split(' '))])]
  if (ranked.length === 0) return []
  const by = recall.by === undefined ? undefined : await membersNamed(db, meshId, recall.by)
  if (by?.length === 0) return []
  const required = sql.join([sql`${meshId}::tsquery`, ...phrases.map(asPhrase), ...without.map((text) => sql`!!${asPhrase(text)}`)], sql` && `)
  // The mesh is a word of the vector; compared as an expression, so that no other index is read for it.
  const within = sql`m.mesh_id || '' = ${meshId} and m.forgotten_at is null ${filterOf(recall, by)}`
  const statement = sql`
    with word as materialized (
      select text, plainto_tsquery('english', text) as q from unnest(string_to_array(${ranked.join(' ')}, ' ')) as text
    ), every as materialized (
      select m.id, m.seq, m.search_vector from mesh.memory m
      where m.search_vector @@ (plainto_tsquery('english', ${ranked.join(' ')}) && ${required}) and ${within} limit ${candidates}
    ), part as materialized (
      select m.id, m.seq, m.search_vector from mesh.memory m
      where (select count(*) from every) < ${candidates} and m.search_vector @@ (websearch_to_tsquery('english', ${ranked.join(' or ')}) && ${required}) and ${within} limit ${candidates}
    ), candidate as (
      select * from every union all select * from part where id not in (select id from every)
    ), hit as materialized (
      select c.id, c.seq, w.text, ts_rank('{0.1, 0.13, 0.1, 0.1}', c.search_vector, w.q) as rank from candidate c join word w on c.search_vector @@ w.q
    ), rarity as materialized (
      select text, ln(1 + (select live from mesh.memory_head where mesh_id = ${meshId})::float8 / count(*)) as weight from hit group by text
    ), best as materialized (
      select id, sum(rank * weight) as score from hit join rarity using (text) group by id, seq order by score desc, seq desc limit ${recall.limit ?? usual}
    )
    select ${memoryColumns} from best join mesh.memory m on m.mesh_id = ${meshId} and m.id = best.id
      join mesh.writer w on w.mesh_id = ${meshId} and w.hash = m.writer_hash order by best.score desc, m.seq desc`
  return (await withinTime<FoundMemory>(db, statement)).map(toMemory)
}

const asPhrase = (text: string): SQL => sql`phraseto_tsquery('english', ${text})`

function filterOf({ tags = [], since }: Recall, by: readonly MemberId[] | undefined): SQL {
  const folded = parseTags(tags)
  return sql.join([
    folded.length === 0 ? sql`` : sql` and m.tags @> string_to_array(${folded.join('\n')}, E'\n')`,
    by === undefined ? sql`` : sql` and m.remembered_by = any(string_to_array(${by.join('\n')}, E'\n'))`,
    since === undefined ? sql`` : sql` and m.remembered_at >= ${since}::bigint`,
  ])
}

async function membersNamed(db: Database, meshId: MeshId, name: string): Promise<MemberId[]> {
  const members = await rows<{ id: MemberId; name: string }>(db, sql`select id, name from mesh.member where mesh_id = ${meshId}`)
  return members.filter((member) => foldName(member.name) === foldName(name)).map(({ id }) => id)
}

async function withinTime<T>(db: Database, statement: SQL): Promise<T[]> {
  try {
    return await db.transaction(async (work) => {
      await work.execute(sql.raw(`set local statement_timeout = ${patience}`))
      return rows<T>(work, statement)
    })
  } catch (error) {
    if ((error as { cause?: { code?: unknown } }).cause?.code !== '57014') throw error
    throw new MeshError('timeout', `the search took over ${patience / 1000} s; ask with fewer or rarer words, or with a tag`, { cause: error })
  }
}
