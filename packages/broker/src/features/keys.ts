import { and, desc, eq, inArray, lt, sql } from 'drizzle-orm'
import { limits, MeshError, times, type contract, type InvitePubkey, type MemberPubkey } from '@claudemesh/protocol'
import { verifyIn } from '../chains.ts'
import type { Handlers } from '../handlers.ts'
import type { Ready } from '../kernel.ts'
import { forgetOthers, keyboxesFor, putKeyboxes, type KeyboxRow } from '../keyboxes.ts'
import type { Presence } from '../presence.ts'
import * as tables from '../tables.ts'

type Reader = MemberPubkey | InvitePubkey

export const keys: Handlers<typeof contract.keys, Ready> = {
  put: async (context, { epoch, mk, boxes }) => {
    const { kernel, mesh, me } = context
    const readers = boxes.map((box) => box.reader as Reader)
    if (new Set(readers).size !== readers.length) throw new MeshError('bad_frame', 'boxes: a reader is named twice')
    const current = mesh.policy.body.epoch
    if (mk === current?.mk && epoch === current.number) await mayHandOver(context, readers)
    else await mayPrepare(context, epoch, readers)
    const now = kernel.clock.now()
    const rows = boxes.map(({ reader, n, c }): KeyboxRow => {
      return { meshId: mesh.id, mk, epoch, reader: reader as Reader, by: me.memberPubkey, nonce: n, ciphertext: c, createdAt: now }
    })
    await putKeyboxes(kernel.db, rows)
    if (mk === mesh.policy.body.epoch?.mk) await handOver(context, rows)
    return {}
  },

  get: async ({ kernel, mesh, me }) => {
    const { epoch } = mesh.policy.body
    return { boxes: epoch ? await keyboxesFor(kernel.db, mesh.id, epoch, me.memberPubkey) : [] }
  },

  backs: async ({ kernel, mesh }, { before }) => {
    const { epoch } = tables
    const found = await kernel.db
      .select({ epoch: epoch.number, back: epoch.back })
      .from(epoch)
      .where(and(eq(epoch.meshId, mesh.id), lt(epoch.number, before)))
      .orderBy(desc(epoch.number))
      .limit(limits.backsPerPage)
    return { backs: found.flatMap(({ epoch: number, back }) => (back ? [{ epoch: number, back }] : [])) }
  },

  ask: ({ kernel, mesh, me }) => {
    const until = kernel.clock.now() + 2 * times.keyAnswer
    mesh.askers.set(me.memberPubkey, until)
    kernel.nodes.toMesh(mesh.id, { t: 'asks', member: me.memberPubkey, until })
    const told = membersOnline(mesh.presences.values(), me)
    const frame = JSON.stringify({ type: 'key_wanted', memberPubkey: me.memberPubkey, chain: me.chain.slice(0, -1) })
    mesh.tell(told, frame)
    return { asked: told.length }
  },
}

/** One connected session of each other member, some when there are many. */
function membersOnline(presences: Iterable<Presence>, me: Presence): Presence[] {
  const one = new Map<MemberPubkey, Presence>()
  for (const presence of presences) if (presence.connected && presence.memberPubkey !== me.memberPubkey) one.set(presence.memberPubkey, presence)
  const all = [...one.values()]
  // Others each time, so that asking again reaches those who may have it.
  const from = all.length > limits.keyAskees ? Math.floor(Math.random() * all.length) : 0
  return [...all.slice(from), ...all.slice(0, from)].slice(0, limits.keyAskees)
}

/** A box of the key in force: for oneself, for a member that asked, or as an admin for an open invite. Throws `not_found`. */
async function mayHandOver(context: Ready, readers: readonly Reader[]): Promise<void> {
  const { kernel, mesh, me } = context
  const now = kernel.clock.now()
  const others = readers.filter((reader) => reader !== me.memberPubkey && !((mesh.askers.get(reader as MemberPubkey) ?? 0) > now))
  if (others.length === 0) return
  requireAdmin(context)
  await requireKnown(context, others)
}

/** Boxes of the epoch to come are an admin's to make. Throws `policy_conflict` for any other epoch. */
async function mayPrepare(context: Ready, epoch: number, readers: readonly Reader[]): Promise<void> {
  if (epoch !== (context.mesh.policy.body.epoch?.number ?? 0) + 1) throw new MeshError('policy_conflict', 'another epoch began meanwhile')
  requireAdmin(context)
  await requireKnown(context, readers)
}

function requireAdmin({ kernel, mesh, me }: Ready): void {
  const { member, invite } = verifyIn(kernel, mesh, 'session', me.chain)
  if (invite || member.role !== 'admin') throw new MeshError('not_found', 'no such reader waits for a key')
}

async function requireKnown({ kernel, mesh }: Ready, readers: readonly Reader[]): Promise<void> {
  const { member, invite } = tables
  const count = sql<number>`count(*)::int`
  const [members] = await kernel.db
    .select({ count })
    .from(member)
    .where(and(eq(member.meshId, mesh.id), inArray(member.pubkey, readers as MemberPubkey[])))
  const [invites] = await kernel.db
    .select({ count })
    .from(invite)
    .where(and(eq(invite.meshId, mesh.id), inArray(invite.pubkey, readers as InvitePubkey[])))
  if ((members?.count ?? 0) + (invites?.count ?? 0) < readers.length) throw new MeshError('not_found', 'no such reader waits for a key')
}

/** Who boxed for itself needs no other's box; who asked hears of the answer. */
async function handOver({ kernel, mesh, me }: Ready, rows: readonly KeyboxRow[]): Promise<void> {
  for (const { reader, epoch, nonce, ciphertext, by } of rows) {
    if (reader === me.memberPubkey) await forgetOthers(kernel.db, mesh.id, me.memberPubkey)
    else {
      const frame = JSON.stringify({ type: 'keybox', keybox: { e: epoch, n: nonce, c: ciphertext, by } })
      mesh.tell(
        [...mesh.presences.values()].filter((presence) => presence.memberPubkey === reader),
        frame,
      )
    }
  }
}
