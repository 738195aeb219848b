import type { InnerMessage } from '@claudemesh/crypto'
import { MeshError } from '@claudemesh/protocol'
import type { Kernel } from './kernel.ts'

/** Adopts a policy, and lets go of the sessions it revokes. Throws `bad_policy`. */
export function adoptPolicy({ policy, roster, events }: Kernel, token: string): void {
  if (!policy.take(token) || !policy.current) return
  const { revoked, v } = policy.current
  for (const session of roster.revoke(revoked)) events.emit('peer', { session, change: 'revoked' })
  events.emit('policy', { v })
}

/** The broker told of a new policy; what does not verify is refused and logged. */
export function policyChanged(kernel: Kernel, token: string): void {
  try {
    adoptPolicy(kernel, token)
  } catch (error) {
    refused(kernel, error)
  }
}

/** A peer marked its message with the policy it knows: where that is newer than ours, the broker is asked, and a broker that keeps it back is logged. */
export async function policyMarked(kernel: Kernel, mark: InnerMessage['pv']): Promise<void> {
  const { policy, log } = kernel
  if (!mark || mark[0] <= (policy.current?.v ?? 0)) return
  try {
    await kernel.askPolicy()
  } catch (error) {
    refused(kernel, error)
  }
  const known = policy.current?.v
  if ((known ?? 0) < mark[0]) log('error', 'policy_frozen', { known, told: mark[0] })
}

function refused({ log }: Kernel, error: unknown): void {
  log('error', 'policy_refused', { error: error instanceof MeshError ? error.code : 'internal' })
}
