import { and, eq } from 'drizzle-orm'
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
  mesh.checkGroups(signed.groups)
  return { ...signed, token }
}

/** Makes it the session's presence, in memory and in the store, and tells the peers. */
export async function storePresence({ kernel, mesh, me }: Ready, signed: Accepted): Promise<void> {
  mesh.unindex(me)
  me.signed = signed
  mesh.put(me)
  await kernel.db
    .update(table)
    .set({ presence: signed.token, seq: signed.seq, groups: [...signed.groups] })
    .where(and(eq(table.meshId, mesh.id), eq(table.sessionPubkey, me.key)))
  announce(mesh, me)
}
