import { and, eq } from 'drizzle-orm'
import { limits, MeshError, type contract } from '@claudemesh/protocol'
import { announceStatus } from '../announce.ts'
import type { Handlers } from '../handlers.ts'
import type { Ready } from '../kernel.ts'
import { peerTable, type Presence } from '../presence.ts'
import { acceptPresence, storePresence } from '../signed-presence.ts'
import { presence as table } from '../tables.ts'

export const peers: Handlers<typeof contract.peers, Ready> = {
  list: ({ mesh }, { cursor }) => {
    const keys = [...mesh.presences.keys()].sort()
    const from = cursor === undefined ? 0 : keys.findIndex((key) => key > cursor)
    const page = from < 0 ? [] : keys.slice(from, from + limits.peersPerPage)
    const last = page.at(-1)
    const more = last !== undefined && last !== keys.at(-1)
    return { ...peerTable(page.map((key) => mesh.presences.get(key) as Presence)), ...(more ? { next: last } : {}) }
  },
  setSummary: async (context, { summary, presence }) => {
    const signed = acceptPresence(context, presence)
    if ((signed.summary ?? '') !== summary.normalize('NFC').trim()) throw new MeshError('bad_presence', 'the presence carries another summary')
    await storePresence(context, signed)
    return {}
  },
  setStatus: async ({ kernel, mesh, me }, { status }) => {
    if (me.status === status) return {}
    me.status = status
    me.statusSince = kernel.clock.now()
    mesh.changed(me)
    await kernel.db
      .update(table)
      .set({ status })
      .where(and(eq(table.meshId, mesh.id), eq(table.sessionPubkey, me.key)))
    announceStatus(mesh, me)
    return {}
  },
}
