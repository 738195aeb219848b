import { issuePolicy, type Allow, type Epoch, type Policy, type Revoked } from '@claudemesh/crypto'
import { MeshError, type InvitePubkey, type MemberPubkey, type SessionPubkey } from '@claudemesh/protocol'
import { isAdmin } from './invites.ts'
import type { Kernel } from './kernel.ts'
import { prepareEpoch } from './rotation.ts'

/** A change of the signed policy. */
export interface Amendment {
  readonly revoke?: {
    readonly members?: readonly MemberPubkey[]
    readonly invites?: readonly InvitePubkey[]
    readonly sessions?: readonly SessionPubkey[]
    /** Members who stay although their invite is revoked. */
    readonly kept?: readonly MemberPubkey[]
  }
  readonly allow?: Partial<Allow>
  /** Begins a new epoch: a mesh key that only those have who are members then. Removing a member does so without being told. */
  readonly rotate?: true | 'if-none'
}

const attempts = 5

/** Signs the policy's successor with the change and brings it to the broker; starts over when another admin was first. Throws `bad_policy` unless this member is an admin. */
export async function amend(kernel: Kernel, change: Amendment): Promise<void> {
  const { options, policy, calls, keys } = kernel
  const { identity, clock } = options
  if (!isAdmin(identity, clock.now())) throw new MeshError('bad_policy', `only an admin of ${identity.slug} can change its policy`)
  for (let attempt = 1; ; attempt++) {
    const { current, token: prev } = policy
    if (!current || prev === undefined) throw new MeshError('unavailable', 'the policy is not known yet')
    if (change.rotate === 'if-none' && current.epoch) return
    try {
      const revoked = revokedBy(current, change)
      const prepared = rotates(current, revoked, change) ? await prepareEpoch(kernel, current, revoked) : undefined
      const token = successor(kernel, current, prev, { revoked, allow: { ...current.allow, ...change.allow }, epoch: prepared?.epoch ?? current.epoch })
      await calls.session.setPolicy({ policy: token })
      if (prepared) keys.adopt(prepared.epoch.number, prepared.key)
      kernel.takePolicy(token)
      return
    } catch (error) {
      if (!(error instanceof MeshError) || error.code !== 'policy_conflict' || attempt === attempts) throw error
      await kernel.askPolicy()
    }
  }
}

/** A mesh that has keys gets a new one with every removal: who was removed knows the old. */
const rotates = (current: Policy, revoked: Revoked, { rotate }: Amendment) =>
  rotate !== undefined || (current.epoch !== undefined && revoked.members.length > current.revoked.members.length)

const revokedBy = ({ revoked }: Policy, { revoke = {} }: Amendment): Revoked => ({
  members: union(revoked.members, revoke.members),
  invites: union(revoked.invites, revoke.invites),
  sessions: union(revoked.sessions, revoke.sessions),
  kept: union(revoked.kept ?? [], revoke.kept),
})

function successor(
  { options }: Kernel,
  current: Policy,
  prev: string,
  next: { readonly revoked: Revoked; readonly allow: Allow; readonly epoch: Epoch | undefined },
): string {
  const { mesh, member, chain, slug } = options.identity
  try {
    return issuePolicy({ mesh, issuer: member, cert: chain[0], v: current.v + 1, prev, iat: options.clock.now(), brokers: current.brokers, ...next })
  } catch (error) {
    if (!(error instanceof MeshError) || error.code !== 'too_large') throw error
    const count = Object.values(next.revoked).reduce((sum, keys) => sum + keys.length, 0)
    throw new MeshError('too_large', `the policy of ${slug} has no room for ${count} revoked keys: nothing was changed; begin a new mesh with who stays`, {
      cause: error,
    })
  }
}

const union = (before: readonly string[], more: readonly string[] = []) => [...new Set([...before, ...more])]
