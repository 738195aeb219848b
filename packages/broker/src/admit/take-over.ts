import { closeCodes, MeshError, type ErrorCode, type SessionPubkey } from '@claudemesh/protocol'
import type { Kernel } from '../kernel.ts'
import type { Mesh } from '../mesh.ts'
import type { Presence } from '../presence.ts'
import { away } from '../roster.ts'
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
  if (!presence.connected || presence.link?.session === session) return
  recent.push(now)
  const fought = recent.length > allowed
  dismiss(kernel, mesh, presence, fought ? 'duplicate_session' : 'replaced')
  if (fought) throw new MeshError('duplicate_session')
}

function dismiss(kernel: Kernel, mesh: Mesh, presence: Presence, code: ErrorCode): void {
  const { key, epoch, link, elsewhere } = presence
  if (link) link.session.refuse(new MeshError(code), closeCodes.replaced)
  if (elsewhere === undefined) return
  mesh.nodes.toNode(elsewhere, { t: 'refuse', mesh: mesh.id, key, epoch, code })
  away(kernel, mesh, presence, kernel.clock.now())
}
