import { closeCodes, MeshError, type SessionPubkey } from '@claudemesh/protocol'
import type { Kernel } from '../kernel.ts'
import type { Mesh } from '../mesh.ts'
import type { Session } from '../session.ts'

const window = 60_000
const allowed = 3

/** The newest valid hello of a session key wins and the older connection is closed; those who keep fighting are refused, both, for a minute. */
export function takeOver(kernel: Kernel, mesh: Mesh, session: Session, key: SessionPubkey): void {
  const now = kernel.clock.now()
  const presence = mesh.presences.get(key)
  if (!presence) return
  const recent = presence.swaps.filter((at) => now - at < window)
  presence.swaps = recent
  if (recent.length > allowed) throw new MeshError('duplicate_session')
  const old = presence.link?.session
  if (!old || old === session) return
  recent.push(now)
  if (recent.length > allowed) {
    old.refuse(new MeshError('duplicate_session'), closeCodes.replaced)
    throw new MeshError('duplicate_session')
  }
  old.refuse(new MeshError('replaced'), closeCodes.replaced)
}
