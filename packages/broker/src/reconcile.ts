import { and, eq, inArray, sql } from 'drizzle-orm'
import type { MemberPubkey, MeshId, MessageId, RecipientPubkey, SessionPubkey } from '@claudemesh/protocol'
import type { Kernel } from './kernel.ts'
import { LateNews } from './late-news.ts'
import { holderFor } from './mail.ts'
import type { Following } from './membership.ts'
import type { Mesh } from './mesh.ts'
import { queuesOf } from './queues.ts'
import { refresh } from './policy.ts'
import { away, placeOf, take, toldBy } from './roster.ts'
import { column, rows } from './sql.ts'
import * as tables from './tables.ts'
import { causeOf } from './cause.ts'

// The rosters are compared every fifth tick; what the bus lost of messages and changes is looked for at each.
const rostersEvery = 5
// A push of another node may be on its way for so long before it counts as lost.
const grace = 1_000
const sessionsPerQuery = 1000

/** What this node does as others come and go: it believes them at once, and the store in the end. */
export function following(kernel: Kernel): Following {
  let tick = 0
  const news = new LateNews(kernel)
  const stored = async () => {
    await catchUp(kernel)
    await news.look()
  }
  const all = async () => {
    for (const mesh of kernel.meshes.all()) await reconcile(kernel, mesh)
    await stored()
  }
  const soon = () => void all().catch((error: unknown) => kernel.log('error', 'store_failed', { what: 'reconcile', cause: causeOf(error) }))
  return {
    came: soon,
    restored: () => {
      kernel.nodes.interrupted()
      soon()
    },
    left: (node) => {
      kernel.nodes.skip(node)
      for (const mesh of kernel.meshes.all()) {
        for (const presence of mesh.presences.values()) {
          if (presence.elsewhere !== node) continue
          away(kernel, mesh, presence, kernel.clock.now())
          presence.silent = node
        }
      }
    },
    tick: () => (++tick % rostersEvery === 0 || !kernel.nodes.up ? all() : stored()),
  }
}

/** Compares a mesh in memory with the store, and takes over what others wrote. */
export async function reconcile(kernel: Kernel, mesh: Mesh): Promise<void> {
  const { presence: table } = tables
  const before = new Map([...mesh.presences.values()].map(({ key, epoch, link }) => [key, link ? undefined : epoch]))
  await refresh(kernel, mesh)
  const { sessionPubkey: key, epoch, seq, status, node, disconnectedAt } = table
  const lives = await kernel.db
    .select({ key, epoch, seq, status, node, disconnectedAt })
    .from(table)
    .where(and(eq(table.meshId, mesh.id), eq(table.live, true)))
  const changed = lives.filter((live) => differs(kernel, mesh, live)).map((live) => live.key)
  const full =
    changed.length === 0
      ? []
      : await kernel.db
          .select()
          .from(table)
          .where(and(eq(table.meshId, mesh.id), inArray(key, changed)))
  for (const one of full) if (one.live) take(kernel, mesh, toldBy(one), placeOf(kernel, one))
  const alive = new Set(lives.map((live) => live.key))
  for (const [session, known] of before) {
    const presence = mesh.presences.get(session)
    if (presence && !alive.has(session) && presence.epoch === known) mesh.remove(presence, 'stale')
  }
  await countQueues(kernel, mesh)
}

type Live = Pick<typeof tables.presence.$inferSelect, 'epoch' | 'seq' | 'status' | 'node' | 'disconnectedAt'> & { readonly key: SessionPubkey }

function differs(kernel: Kernel, mesh: Mesh, row: Live): boolean {
  const known = mesh.presences.get(row.key)
  if (!known || known.epoch !== row.epoch) return !known || known.epoch < row.epoch
  // Of its own sessions this node knows more than the store.
  if (known.link || row.node === kernel.nodes.id) return false
  const place = placeOf(kernel, row)
  return known.elsewhere !== (typeof place === 'string' ? place : undefined) || known.signed.seq !== row.seq || known.status !== row.status
}

/** Every node counts the messages it sent itself; the store counts all. */
async function countQueues(kernel: Kernel, mesh: Mesh): Promise<void> {
  const counted = await kernel.writer.after(() => queuesOf(kernel.db, mesh.id, [...mesh.presences.keys()]))
  for (const presence of mesh.presences.values()) presence.queued = counted.get(presence.key) ?? { count: 0, bytes: 0 }
}

interface Here {
  readonly mesh: MeshId
  readonly key: RecipientPubkey
}

/** Finds stored messages that never came to this node's connections, and has them read from the queue. */
async function catchUp(kernel: Kernel): Promise<void> {
  const here: Here[] = []
  for (const mesh of kernel.meshes.all()) {
    for (const { key, memberPubkey, link, showsMail } of mesh.presences.values()) {
      if (link) here.push({ mesh: mesh.id, key })
      if (link && showsMail) here.push({ mesh: mesh.id, key: memberPubkey })
    }
  }
  for (let i = 0; i < here.length; i += sessionsPerQuery) {
    const some = here.slice(i, i + sessionsPerQuery)
    const waiting = await kernel.writer.after(() => storedFor(kernel, some))
    for (const { mesh_id, recipient_pubkey, message_id } of waiting) {
      const mesh = kernel.meshes.peek(mesh_id)
      const recipient = mesh?.presences.get(recipient_pubkey as SessionPubkey) ?? (mesh && holderFor(mesh, recipient_pubkey as MemberPubkey))
      const feed = recipient?.link?.feed
      if (feed && !feed.has(message_id)) feed.again()
    }
  }
}

/** What is stored for these and should have been pushed by now: of mail, what no session holds. */
function storedFor(kernel: Kernel, sessions: readonly Here[]) {
  return rows<{ mesh_id: MeshId; recipient_pubkey: RecipientPubkey; message_id: MessageId }>(
    kernel.db,
    sql`select d.mesh_id, d.recipient_pubkey, d.message_id
      from unnest(${column(sessions.map(({ mesh }) => mesh))}, ${column(sessions.map(({ key }) => key))}) as s(mesh_id, key)
      join mesh.delivery d on d.recipient_pubkey = s.key and d.mesh_id = s.mesh_id
      where d.rung in ('stored', 'received') and d.rung = 'stored' and (not d.mail or d.holder is null) and d.at < ${kernel.clock.now() - grace}::bigint`,
  )
}
