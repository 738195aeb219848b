import { closeCodes, MeshError } from '@claudemesh/protocol'
import { verifyPolicy } from '@claudemesh/crypto'
import { verifyIn } from './chains.ts'
import type { Kernel } from './kernel.ts'
import { end } from './lifecycle.ts'
import type { Mesh } from './mesh.ts'

/** Puts a policy that verified in force on this node: its sessions are told, and those it revokes are disconnected and forgotten as recipients. */
export function enforce(kernel: Kernel, mesh: Mesh, policy: Mesh['policy']): void {
  mesh.policy = policy
  mesh.write(JSON.stringify({ type: 'policy_changed', policy: policy.token }))
  for (const presence of mesh.presences.values()) {
    try {
      verifyIn(kernel, mesh, 'session', presence.chain)
    } catch (error) {
      if (!(error instanceof MeshError) || error.code !== 'revoked') continue
      const link = presence.link
      link?.feed.close()
      end(kernel, mesh, presence, 'revoked')
      link?.session.refuse(error, closeCodes.revoked)
    }
  }
}

/** Takes over a policy that another node stored, unless the one in force is as new. */
export function adopt(kernel: Kernel, mesh: Mesh, token: string): void {
  if (token === mesh.policy.token) return
  const body = verifyPolicy(token, { mesh: mesh.id, root: mesh.root })
  if (body.v > mesh.policy.body.v) enforce(kernel, mesh, { token, body })
}
