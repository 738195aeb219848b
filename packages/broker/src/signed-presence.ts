import { and, eq, lt } from 'drizzle-orm'
import { verifyPresence } from '@claudemesh/crypto'
import { MeshError } from '@claudemesh/protocol'
import { announce } from './announce.ts'
import type { Ready } from './kernel.ts'
import { presence as table } from './tables.ts'

export type Accepted = ReturnType<typeof verifyPresence> & { readonly token: string }

/** A presence token that this session signed after its last one. Throws `bad_presence`. */
export function acceptPresence({ mesh, me }: Ready, token: string): Accepted {
  const signed = verifyPresence(token, { mesh: mesh.id, session: me.key })
  if (signed.seq <= me.signed.seq) throw new MeshError('bad_presence', `its seq ${signed.seq} is not above the last one, ${me.signed.seq}`)
  return { ...signed, token }
}

/** Makes it the session's presence, in the store and then in memory, and tells the peers: of what was not stored nobody hears. Throws `quota_exceeded` where its groups would be too many for the mesh. */
export async function storePresence({ kernel, mesh, me }: Ready, signed: Accepted): Promise<void> {
  using _ = mesh.groupRoom.claim(signed.groups)
  await kernel.db
    .update(table)
    .set({ presence: signed.token, seq: signed.seq, groups: [...signed.groups] })
    .where(and(eq(table.meshId, mesh.id), eq(table.sessionPubkey, me.key), lt(table.seq, signed.seq)))
  // Meanwhile the session may have ended, or said hello anew.
  if (mesh.presences.get(me.key) !== me || me.signed.seq >= signed.seq) return
  mesh.unindex(me)
  me.signed = signed
  mesh.put(me)
  announce(mesh, me)
}
