import { tokenHash, verifyPresence } from '@claudemesh/crypto'
import { times } from '@claudemesh/protocol'
import { sql } from 'drizzle-orm'
import type { Ready } from './kernel.ts'
import type { Database } from './ports.ts'
import type { Signed } from './presence.ts'
import { rows } from './sql.ts'
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
    .values({ meshId: mesh.id, hash, chain: [...chain], keptAt: kernel.clock.now() })
    .onConflictDoNothing()
  kept.set(chain, hash)
  return hash
}

// A certificate that was kept so long ago has ended, so that its session writes no more.
const longest = times.sessionLifeMax + 24 * 3_600_000

/** Removes the certificates that no row names any more; how many there were. Whatever comes to name writers belongs here. */
export async function sweepWriters(db: Database, now: number): Promise<number> {
  const gone = await rows(
    db,
    sql`delete from mesh.writer w where w.kept_at < ${now - longest}::bigint
      and not exists (select from mesh.state s where s.mesh_id = w.mesh_id and s.writer_hash = w.hash)
      and not exists (select from mesh.memory m where m.mesh_id = w.mesh_id and m.writer_hash = w.hash)
      and not exists (select from mesh.file f where f.mesh_id = w.mesh_id and f.writer_hash = w.hash)
      returning w.hash`,
  )
  return gone.length
}

/** The name that the session bears at this time. */
export function nameOfWriter({ mesh, me }: Ready): string {
  const known = names.get(me.signed)
  if (known !== undefined) return known
  const { name } = verifyPresence(me.signed.token, { mesh: mesh.id, session: me.key })
  names.set(me.signed, name)
  return name
}
