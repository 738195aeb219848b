import { issuePolicy, type Allow, type Policy } from '@claudemesh/crypto'
import { MeshError, type Clock, type Contract, type InvitePubkey, type MemberPubkey, type SessionPubkey } from '@claudemesh/protocol'
import type { Calls } from './calls.ts'
import { isAdmin } from './invites.ts'
import type { PolicyKeeper } from './policy.ts'
import type { Identity } from './types.ts'

/** A change of the signed policy. */
export interface Amendment {
  readonly revoke?: { readonly members?: readonly MemberPubkey[]; readonly invites?: readonly InvitePubkey[]; readonly sessions?: readonly SessionPubkey[] }
  readonly allow?: Partial<Allow>
}

export interface AmendOptions {
  readonly identity: Identity
  readonly clock: Clock
  readonly calls: Calls<Contract>
  readonly policy: PolicyKeeper
  /** Adopts the policy as if the broker had told it. */
  adopt(token: string): void
}

const attempts = 5

/** Signs the policy's successor with the change and brings it to the broker; starts over when another admin was first. Throws `bad_policy` unless this member is an admin. */
export async function amend(o: AmendOptions, change: Amendment): Promise<void> {
  if (!isAdmin(o.identity, o.clock.now())) throw new MeshError('bad_policy', `only an admin of ${o.identity.slug} can change its policy`)
  for (let attempt = 1; ; attempt++) {
    const { current, token: prev } = o.policy
    if (!current || prev === undefined) throw new MeshError('unavailable', 'the policy is not known yet')
    const token = successor(o, current, prev, change)
    try {
      await o.calls.session.setPolicy({ policy: token })
      o.adopt(token)
      return
    } catch (error) {
      if (!(error instanceof MeshError) || error.code !== 'policy_conflict' || attempt === attempts) throw error
      o.adopt((await o.calls.session.getPolicy({})).policy)
    }
  }
}

function successor({ identity, clock }: AmendOptions, current: Policy, prev: string, { revoke = {}, allow = {} }: Amendment): string {
  const { mesh, member, chain } = identity
  const { revoked, brokers } = current
  return issuePolicy({
    mesh,
    issuer: member,
    cert: chain[0],
    v: current.v + 1,
    prev,
    iat: clock.now(),
    revoked: {
      ...revoked,
      members: union(revoked.members, revoke.members),
      invites: union(revoked.invites, revoke.invites),
      sessions: union(revoked.sessions, revoke.sessions),
    },
    allow: { ...current.allow, ...allow },
    brokers,
  })
}

const union = (before: readonly string[], more: readonly string[] = []) => [...new Set([...before, ...more])]
