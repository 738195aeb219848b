import { and, eq, inArray, sql } from 'drizzle-orm'
import type { MessageId, SessionPubkey } from '@claudemesh/protocol'
import type { Kernel } from './kernel.ts'
import type { Mesh } from './mesh.ts'
import type { Presence } from './presence.ts'
import { queuesOf } from './queues.ts'
import type { Session } from './session.ts'
import { rows } from './sql.ts'
import { delivery, inQueue, presence as table } from './tables.ts'

/** What memory, sockets and store disagree about, a sentence each. For a broker at rest: what is under way looks like a disagreement. */
export async function inconsistencies(kernel: Kernel, sessions: ReadonlySet<Session>): Promise<string[]> {
  await kernel.writer.settled()
  const found = socketsOf(kernel, sessions)
  for (const mesh of kernel.meshes.all()) {
    found.push(...linksOf(mesh, sessions), ...indexOf(mesh))
    found.push(...(await rowsOf(kernel, mesh)), ...(await queuedOf(kernel, mesh)), ...(await feedsOf(kernel, mesh)))
  }
  return [...found, ...(await orphansOf(kernel))]
}

/** Every connection that said hello is the one its presence points at. */
function socketsOf({ meshes }: Kernel, sessions: ReadonlySet<Session>): string[] {
  return [...sessions].flatMap((session) => {
    const { presence } = session
    if (!presence) return []
    const known = meshes.peek(presence.mesh)?.presences.get(presence.key)
    return known?.link?.session === session ? [] : [`the connection of ${presence.key} has no presence`]
  })
}

function linksOf({ presences }: Mesh, sessions: ReadonlySet<Session>): string[] {
  return [...presences.values()].flatMap(({ key, link, elsewhere }) => [
    ...(link && !sessions.has(link.session) ? [`the presence of ${key} holds a connection that is gone`] : []),
    ...(link && elsewhere !== undefined ? [`the presence of ${key} is connected here and elsewhere`] : []),
  ])
}

function indexOf(mesh: Mesh): string[] {
  const missing = [...mesh.presences.values()].filter((one) => [...one.addresses].some((address) => !mesh.at(address).has(one)))
  const left = [...mesh.indexed].filter((one) => mesh.presences.get(one.key) !== one)
  return [
    ...missing.map(({ key }) => `${key} does not answer to all of its addresses`),
    ...left.map(({ key }) => `${key} is gone and still answers to an address`),
  ]
}

async function rowsOf({ db, nodes }: Kernel, mesh: Mesh): Promise<string[]> {
  const lives = await db
    .select({ key: table.sessionPubkey, epoch: table.epoch, seq: table.seq, node: table.node, disconnectedAt: table.disconnectedAt })
    .from(table)
    .where(and(eq(table.meshId, mesh.id), eq(table.live, true)))
  const stored = new Map(lives.map((row) => [row.key, row]))
  const ghosts = lives.filter(({ key }) => !mesh.presences.has(key)).map(({ key }) => `the store has ${key} live, memory does not`)
  const differing = [...mesh.presences.values()].flatMap((one) => {
    const row = stored.get(one.key)
    if (!row) return [`memory has ${one.key} live, the store does not`]
    const here = row.disconnectedAt === null && row.node === nodes.id
    return [
      ...(one.link && !here ? [`${one.key} is connected here, but not in the store`] : []),
      ...(!one.link && here ? [`${one.key} is connected here in the store, but not in memory`] : []),
      ...(one.epoch === row.epoch && one.signed.seq === row.seq ? [] : [`memory and store have ${one.key} in different versions`]),
    ]
  })
  return [...ghosts, ...differing]
}

/** With other nodes a count is only as good as the last look into the store. */
async function queuedOf({ db, nodes }: Kernel, mesh: Mesh): Promise<string[]> {
  if (nodes.bus) return []
  const counted = await queuesOf(db, mesh.id, [...mesh.presences.keys()])
  return [...mesh.presences.values()].flatMap(({ key, queued }) => {
    const { count, bytes } = counted.get(key) ?? { count: 0, bytes: 0 }
    return count === queued.count && bytes === queued.bytes ? [] : [`the queue of ${key} holds ${count} messages, memory counts ${queued.count}`]
  })
}

/** A feed at rest is live, and has pushed exactly what the queue holds. */
async function feedsOf({ db }: Kernel, mesh: Mesh): Promise<string[]> {
  const here = [...mesh.presences.values()].filter((one): one is Presence & { link: object } => one.link !== undefined && !one.showsMail)
  if (here.length === 0) return []
  const waiting = await db
    .select({ key: delivery.recipientPubkey, id: delivery.messageId })
    .from(delivery)
    .where(
      and(
        eq(delivery.meshId, mesh.id),
        inArray(
          delivery.recipientPubkey,
          here.map(({ key }) => key),
        ),
        inQueue,
      ),
    )
  const queues = new Map<SessionPubkey, Set<MessageId>>(here.map(({ key }) => [key, new Set()]))
  for (const { key, id } of waiting) queues.get(key as SessionPubkey)?.add(id)
  return here.flatMap(({ key, link }) => {
    const { live, pushed } = link.feed.atRest
    const queue = queues.get(key) ?? new Set()
    const unpushed = [...queue].filter((id) => !pushed.has(id)).length
    const extra = [...pushed].filter((id) => !queue.has(id)).length
    return [
      ...(live ? [] : [`the feed of ${key} is not live`]),
      ...(unpushed === 0 ? [] : [`${unpushed} messages wait for ${key} and were not pushed`]),
      ...(extra === 0 ? [] : [`the feed of ${key} remembers ${extra} messages that have left its queue`]),
    ]
  })
}

async function orphansOf({ db }: Kernel): Promise<string[]> {
  const [row] = await rows<{ n: number }>(
    db,
    sql`select count(*)::int as n from mesh.delivery d where not exists (select 1 from mesh.message m where m.id = d.message_id and m.mesh_id = d.mesh_id)`,
  )
  return row && row.n > 0 ? [`${row.n} deliveries are of no message`] : []
}
