import { tokenHash, verifyPresence } from '@claudemesh/crypto'
import type { Ready } from './kernel.ts'
import type { Signed } from './presence.ts'
import { writer } from './tables.ts'

// A session's chain is one array from its hello on, its presence one object until it changes.
const kept = new WeakMap<readonly string[], string>()
const names = new WeakMap<Signed, string>()

/** Keeps the certificates of a session that writes, once; rows name them by the hash this gives. */
export async function keepWriter({ kernel, mesh, me }: Ready): Promise<string> {
  const { chain } = me
  const known = kept.get(chain)
  if (known !== undefined) return known
  const hash = tokenHash(chain.at(-1) ?? '')
  await kernel.db
    .insert(writer)
    .values({ meshId: mesh.id, hash, chain: [...chain] })
    .onConflictDoNothing()
  kept.set(chain, hash)
  return hash
}

/** The name that the session bears at this time. */
export function nameOfWriter({ mesh, me }: Ready): string {
  const known = names.get(me.signed)
  if (known !== undefined) return known
  const { name } = verifyPresence(me.signed.token, { mesh: mesh.id, session: me.key })
  names.set(me.signed, name)
  return name
}
