import { sql } from 'drizzle-orm'
import type { MeshId, MessageId, RecipientPubkey } from '@claudemesh/protocol'
import type { Database } from './ports.ts'
import { column, rows } from './sql.ts'
import { absent, partsOf, type Entry, type Part } from './statements.ts'

/** Whose deliveries were taken back, by the message under whose id another one is stored. */
export type Conflicts = ReadonlyMap<Entry, ReadonlySet<RecipientPubkey>>

const none: Conflicts = new Map()

/** Finds those messages, of some whose ids were stored before, that are no repeats, and takes their deliveries back, which the batch wrote all the same. To be called before anything else is written of them. */
export async function takeBack(db: Database, known: readonly Entry[]): Promise<Conflicts> {
  if (known.length === 0) return none
  const stored = await storedUnder(db, known)
  const conflicts = known.filter((entry) => {
    const as = stored.get(entry.meshId + entry.id)
    return as !== undefined && !same(entry, as)
  })
  if (conflicts.length === 0) return none
  const taken = new Map(conflicts.map((entry) => [entry, new Set<RecipientPubkey>()]))
  // One of the same time may be the delivery of the message that is stored.
  const parts = conflicts.filter((entry) => stored.get(entry.meshId + entry.id)?.created_at !== entry.createdAt).flatMap(partsOf)
  const removed = new Set((await rows<Row>(db, removal(parts))).map((row) => row.mesh_id + row.message_id + row.recipient_pubkey))
  for (const { entry, recipient } of parts) if (removed.has(entry.meshId + entry.id + recipient)) taken.get(entry)?.add(recipient)
  return taken
}

interface Stored {
  readonly mesh_id: MeshId
  readonly id: MessageId
  readonly nonce: string
  readonly priority: string
  readonly target_spec: string
  readonly ciphertext: string
  readonly created_at: number
}

interface Row {
  readonly mesh_id: MeshId
  readonly message_id: MessageId
  readonly recipient_pubkey: RecipientPubkey
}

/** Whether a message says what is stored under its id. */
export const same = (
  { nonce, priority, targetSpec, body }: Pick<Entry, 'nonce' | 'priority' | 'targetSpec' | 'body'>,
  stored: Pick<Stored, 'nonce' | 'priority' | 'target_spec' | 'ciphertext'>,
): boolean => nonce === stored.nonce && priority === stored.priority && targetSpec === stored.target_spec && body === stored.ciphertext

async function storedUnder(db: Database, known: readonly Entry[]): Promise<ReadonlyMap<string, Stored>> {
  const found = await rows<Stored>(
    db,
    sql`select m.mesh_id, m.id, m.nonce, m.priority, m.target_spec, m.ciphertext, m.created_at::float8 as created_at
      from unnest(${column(known.map(({ meshId }) => meshId))}, ${column(known.map(({ id }) => id))}) as k(mesh_id, id)
      join mesh.message m on m.id = k.id and m.mesh_id = k.mesh_id`,
  )
  return new Map(found.map((row) => [row.mesh_id + row.id, row]))
}

/** Removes deliveries as they were inserted, and none that stood there before. */
function removal(parts: readonly Part[]) {
  const of = (pick: (part: Part) => string | number) => column(parts.map((part) => pick(part)))
  return sql`
    delete from mesh.delivery d using unnest(${of(({ entry }) => entry.meshId)}, ${of(({ entry }) => entry.id)}, ${of(({ recipient }) => recipient)},
      ${of(({ wrap }) => wrap ?? absent)}, ${of(({ early }) => early?.rung ?? 'stored')}, ${of(({ early, entry }) => early?.at ?? entry.createdAt)}::bigint[])
      as r(mesh_id, message_id, recipient, wrap, rung, at)
    where d.mesh_id = r.mesh_id and d.message_id = r.message_id and d.recipient_pubkey = r.recipient
      and coalesce(d.wrap, ${absent}) = r.wrap and d.rung = r.rung and d.at = r.at
    returning d.mesh_id, d.message_id, d.recipient_pubkey`
}
