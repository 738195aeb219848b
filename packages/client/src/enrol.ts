import {
  commitMeshKey,
  issueMember,
  issuePolicy,
  memberKey,
  meshIdOf,
  newMeshKey,
  openKeybox,
  parseInviteLink,
  ready,
  rootKey,
  sealKeybox,
  signCreate,
  signEnrol,
  verifyChain,
  verifyPolicy,
  webRandom,
  type ChainInvite,
  type InviteLink,
  type MemberKey,
  type Random,
  type RootKey,
} from '@claudemesh/crypto'
import { MeshError, check, contract, inviteDeposit, isErrorCode, parseName, type Clock, type Output } from '@claudemesh/protocol'
import type { Dial } from './dial.ts'
import { audienceOf, greet } from './greeting.ts'
import type { Identity } from './types.ts'

export interface EnrolOptions {
  /** The invite link, or its parsed form. */
  readonly link: string | InviteLink
  /** The member's name. */
  readonly name: string
  readonly clock: Clock
  readonly dial: Dial
  readonly random?: Random
  /** A member key to enrol again; a fresh one unless given. */
  readonly member?: MemberKey
}

const attempts = 5

export type Enrolled = Identity & { readonly url: string; readonly policy: string }

/** Makes this key a member of the link's mesh: verifies the invite up to the root in the link, signs its own certificate and has the broker count the use. */
export async function enrol(options: EnrolOptions): Promise<Enrolled> {
  await ready()
  const { clock, dial, random = webRandom } = options
  const link = typeof options.link === 'string' ? parseInviteLink(options.link) : options.link
  const { mesh, root, url } = link
  const name = parseName(options.name)
  const member = options.member ?? memberKey(random(32))
  for (let attempt = 1; ; attempt++) {
    const deposit = await fetchInvite(link)
    const invite = verifyInvite(link, deposit, clock.now())
    const certificate = issueMember({ mesh, subject: member, issuer: link.invite, role: invite.role, name, iat: clock.now(), via: invite.key })
    const chain = [...deposit.chain, certificate]
    const keybox = reboxed(link, deposit, member, random)
    try {
      const answer = await greet({ url, dial, clock, random }, contract.session.enrol, (transcript) => ({
        meshId: mesh,
        chain,
        proof: signEnrol({ mesh, member, ...transcript }),
        ...(keybox && { keybox }),
      }))
      const { policy } = answer as Output<typeof contract.session.enrol>
      verifyPolicy(policy, { mesh, root })
      return { mesh, root, slug: deposit.slug, member, chain, url, policy }
    } catch (error) {
      // The mesh key was changed between the two.
      if (!(error instanceof MeshError) || error.code !== 'policy_conflict' || attempt === attempts) throw error
    }
  }
}

/** The mesh key from the box for the invite, boxed for the member that it makes; undefined where there is none, and another member has to hand it over. */
function reboxed({ mesh, root, invite }: InviteLink, { policy, keyboxes }: Deposit, member: MemberKey, random: Random) {
  const { epoch } = verifyPolicy(policy, { mesh, root })
  if (!epoch) return undefined
  for (const box of keyboxes) {
    try {
      const key = openKeybox(box, { mesh, reader: invite, commit: epoch.mk })
      const { n, c } = sealKeybox({ mesh, epoch: epoch.number, key, reader: member.publicKey, rotator: member, random })
      key.fill(0)
      return { mk: epoch.mk, n, c }
    } catch {
      continue
    }
  }
  return undefined
}

export interface CreateMeshOptions {
  /** The broker's WebSocket address, such as ws://127.0.0.1:7717/ws. */
  readonly url: string
  readonly slug: string
  /** The founder's member name. */
  readonly name: string
  readonly clock: Clock
  readonly dial: Dial
  readonly random?: Random
}

export type CreatedMesh = Identity & { readonly url: string; readonly policy: string; readonly rootKey: RootKey }

/** Brings a new mesh to a broker: root key, the founder as admin, the first policy. The root key is the caller's to keep. */
export async function createMesh(options: CreateMeshOptions): Promise<CreatedMesh> {
  await ready()
  const { url, slug, dial, clock, random = webRandom } = options
  const key = rootKey(random(32))
  const root = key.publicKey
  const mesh = meshIdOf(root)
  const member = memberKey(random(32))
  const iat = clock.now()
  const chain = [issueMember({ mesh, subject: member, issuer: key, role: 'admin', name: parseName(options.name), iat })]
  const allow = { plaintext: false, legacyBox: false, memory: 'sealed', state: 'sealed', files: 'sealed' } as const
  const revoked = { members: [], invites: [], sessions: [] }
  const meshKey = newMeshKey(random)
  const epoch = { number: 1, mk: commitMeshKey(mesh, 1, meshKey) }
  const policy = issuePolicy({ mesh, issuer: key, v: 1, iat, revoked, allow, brokers: [audienceOf(url)], epoch })
  const { n, c } = sealKeybox({ mesh, epoch: 1, key: meshKey, reader: member.publicKey, rotator: member, random })
  meshKey.fill(0)
  await greet({ url, dial, clock, random }, contract.session.createMesh, (transcript) => ({
    root,
    slug,
    chain,
    policy,
    keybox: { mk: epoch.mk, n, c },
    proof: signCreate({ mesh, root: key, ...transcript }),
  }))
  return { mesh, root, slug, member, chain, url, policy, rootKey: key }
}

type Deposit = ReturnType<typeof readDeposit>

const readDeposit = (json: unknown) => check('invite', inviteDeposit, json)

async function fetchInvite({ httpUrl, invite }: InviteLink): Promise<Deposit> {
  const where = `${httpUrl}/v1/invite/${invite.publicKey}`
  const response = await fetch(where, { redirect: 'error' }).catch((cause: unknown) => {
    throw new MeshError('unavailable', `the broker at ${httpUrl} cannot be reached`, { cause })
  })
  const body: unknown = await response.json().catch(() => undefined)
  if (response.status === 404)
    throw new MeshError('not_found', 'the broker does not know this invite: it was revoked, or the link is of another broker. Ask for a new one')
  if (!response.ok) throw refusal(body)
  try {
    return readDeposit(body)
  } catch (cause) {
    throw new MeshError('bad_frame', 'the broker answered with something that is no invite', { cause })
  }
}

function refusal(body: unknown): MeshError {
  const { code, message } = (body ?? {}) as { code?: string; message?: string }
  return new MeshError(code !== undefined && isErrorCode(code) ? code : 'internal', message)
}

function verifyInvite({ mesh, root, invite }: InviteLink, { chain }: Deposit, now: number): ChainInvite {
  const verified = verifyChain(chain, { mesh, root, now, ends: 'invite' }).invite
  if (verified.key !== invite.publicKey) throw new MeshError('bad_chain', 'the broker answered with another invite than the one of the link')
  return verified
}
