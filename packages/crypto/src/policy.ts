import { MeshError, type MemberPubkey, type MeshId, type RootPubkey } from '@claudemesh/protocol'
import type { Revoked } from './chain-types.ts'
import { meshIdOf, type MemberKey, type RootKey } from './keys.ts'
import type { Back } from './mesh-keys.ts'
import type { Payload } from './payloads.ts'
import { peekToken, signToken, tokenHash, verifyToken } from './token.ts'

type Form = 'sealed' | 'plain'

export interface Allow {
  readonly plaintext: boolean
  readonly legacyBox: boolean
  readonly memory: Form
  readonly state: Form
  readonly files: Form
}

/** The mesh key in force, as the policy vouches for it. */
export interface Epoch {
  /** Counts from 1. */
  readonly number: number
  /** Commitment to the epoch's key. */
  readonly mk: string
  /** The key of the epoch before, sealed under this one; absent in the first. */
  readonly back?: Back | undefined
}

/** The signed rules of a mesh. */
export interface Policy {
  readonly v: number
  /** Hash of the policy before it; absent in the first. */
  readonly prev?: string
  readonly iat: number
  readonly revoked: Revoked
  readonly allow: Allow
  readonly brokers: readonly string[]
  /** Absent in meshes that never had a key. */
  readonly epoch?: Epoch
  /** The root or the admin who signed it. */
  readonly by: RootPubkey | MemberPubkey
}

/** Signs a policy. An admin passes its root-signed certificate; `prev` is the token that this one replaces. Throws `too_large`. */
export function issuePolicy(o: {
  mesh: MeshId
  issuer: RootKey | MemberKey
  cert?: string | undefined
  v: number
  prev?: string | undefined
  iat: number
  revoked: Revoked
  allow: Allow
  brokers: readonly string[]
  epoch?: Epoch | undefined
}): string {
  const payload = {
    m: o.mesh,
    v: o.v,
    ...(o.prev !== undefined && { prev: tokenHash(o.prev) }),
    iat: o.iat,
    ...(o.epoch && { epoch: o.epoch.number, mk: o.epoch.mk, back: o.epoch.back }),
    revoked: o.revoked,
    allow: o.allow,
    brokers: o.brokers,
    ...(o.cert !== undefined && { cert: o.cert }),
  }
  return signToken('policy', payload, o.issuer)
}

export interface PolicyOptions {
  mesh: MeshId
  root: RootPubkey
  /** The token this one must directly replace. */
  prev?: string | undefined
  /** The token that was believed so far: this one must be the same or a later one. */
  pinned?: string | undefined
}

/** Verifies a policy up to the root, and against the one before it where given. Throws `bad_policy`. */
export function verifyPolicy(token: string, o: PolicyOptions): Policy {
  if (meshIdOf(o.root) !== o.mesh) throw bad('the root key does not belong to this mesh')
  try {
    const by = signerOf(token, o)
    const policy = toPolicy(verifyToken(token, 'policy', o.mesh, by), by)
    if ((policy.v === 1) !== (policy.prev === undefined)) throw bad('only the first policy has none before it')
    if (policy.epoch && policy.epoch.number > policy.v) throw bad('it has had more epochs than versions')
    if (o.prev !== undefined) checkSuccessor(policy, o.prev)
    if (o.pinned !== undefined) checkPinned(token, policy, o.pinned)
    return policy
  } catch (error) {
    if (!(error instanceof MeshError) || error.code === 'bad_policy') throw error
    throw new MeshError('bad_policy', `the policy is refused: ${error.message}`, { cause: error })
  }
}

function signerOf(token: string, o: PolicyOptions): RootPubkey | MemberPubkey {
  const { cert } = peekToken(token, 'policy')
  if (cert === undefined) return o.root
  const admin = verifyToken(cert, 'member', o.mesh, o.root)
  if (admin.via !== undefined) throw bad('the signer’s certificate names an invite')
  if (admin.role !== 'admin') throw bad('the signer is not an admin')
  return admin.k
}

function checkSuccessor(policy: Policy, prevToken: string): void {
  const prev = peekToken(prevToken, 'policy')
  if (policy.v !== prev.v + 1) throw bad(`version ${policy.v} does not follow version ${prev.v}`)
  checkLink(policy, prev, prevToken)
}

function checkPinned(token: string, policy: Policy, pinnedToken: string): void {
  if (token === pinnedToken) return
  const pinned = peekToken(pinnedToken, 'policy')
  if (policy.v < pinned.v) throw bad(`version ${policy.v} is older than version ${pinned.v}, which this client has seen`)
  if (policy.v === pinned.v) throw bad(`two policies claim version ${policy.v}: an admin or the broker misbehaves`)
  checkLink(policy, pinned, pinnedToken)
}

function checkLink(policy: Policy, before: Payload<'policy'>, beforeToken: string): void {
  if (policy.v === before.v + 1 && policy.prev !== tokenHash(beforeToken)) throw bad('it does not name the policy before it')
  if (before.revoked.members.some((key) => key === policy.by)) throw bad('its signer was revoked before')
  checkEpoch(policy, before)
}

// Who may read is decided by the epoch's key: it must change when somebody is removed, and for nothing else may it be swapped or taken back.
function checkEpoch(policy: Policy, before: Payload<'policy'>): void {
  if (before.epoch === undefined) return
  const { number = 0, mk } = policy.epoch ?? {}
  if (number < before.epoch) throw bad(`epoch ${number} is older than epoch ${before.epoch}`)
  if (number - before.epoch > policy.v - before.v) throw bad(`epoch ${number} is too far from epoch ${before.epoch}`)
  if (number > before.epoch) return
  if (mk !== before.mk) throw bad(`two keys for epoch ${number}`)
  if (JSON.stringify(policy.epoch?.back) !== JSON.stringify(before.back)) throw bad(`two ways back from epoch ${number}`)
  const removed = policy.revoked.members.some((key) => !before.revoked.members.some((known) => known === key))
  if (removed) throw bad('it removes a member but keeps the mesh key')
}

const toPolicy = (p: Payload<'policy'>, by: RootPubkey | MemberPubkey): Policy => ({
  v: p.v,
  ...(p.prev !== undefined && { prev: p.prev }),
  iat: p.iat,
  revoked: p.revoked,
  allow: p.allow,
  brokers: p.brokers,
  ...(p.epoch !== undefined && p.mk !== undefined && { epoch: { number: p.epoch, mk: p.mk, ...(p.back && { back: p.back }) } }),
  by,
})

const bad = (why: string) => new MeshError('bad_policy', why)
