import { verifyChain, type ChainEnd, type ChainTo } from '@claudemesh/crypto'
import type { Kernel } from './kernel.ts'
import type { Mesh } from './mesh.ts'

/** A chain of this mesh, verified under its present policy. Throws as `verifyChain` does. */
export function verifyIn<E extends ChainEnd>(kernel: Kernel, mesh: Mesh, ends: E, chain: readonly string[]): ChainTo<E> {
  return verifyChain(chain, { mesh: mesh.id, root: mesh.root, now: kernel.clock.now(), ends, revoked: mesh.policy.body.revoked, cache: kernel.tokens })
}
