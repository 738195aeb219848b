import { formatInviteLink, inviteKey, issueInvite, verifyChain } from '@claudemesh/crypto'
import { MeshError, times, type InvitePubkey } from '@claudemesh/protocol'
import type { Kernel } from './kernel.ts'
import { listMembers } from './members.ts'
import type { CreatedInvite, Identity, InviteInfo, InviteOptions } from './types.ts'

const attempts = 5

/** Invites of this mesh, for its admins. */
export class Invites {
  readonly #kernel: Kernel

  constructor(kernel: Kernel) {
    this.#kernel = kernel
  }

  /** Signs an invite and deposits it at the broker. Throws `bad_chain` when this member is no admin. */
  async create(options: InviteOptions = {}): Promise<CreatedInvite> {
    const { random } = this.#kernel
    const { identity, clock, url } = this.#kernel.options
    const { max = 1, expiresMs = times.inviteLife, role = 'member', rootKey } = options
    if (!rootKey && !isAdmin(identity, clock.now())) throw new MeshError('bad_chain', `only an admin of ${identity.slug} can invite; ask its founder`)
    if (role === 'admin' && !rootKey) throw new MeshError('bad_chain', 'an invite to admin rights must be signed with the root key of the mesh')
    const seed = random(16)
    const invite = inviteKey(identity.root, seed)
    const terms = { mesh: identity.mesh, invite: invite.publicKey, issuer: rootKey ?? identity.member, role, max, by: identity.member.publicKey }
    const expiresAt = await this.#deposit(invite.publicKey, () => {
      const iat = clock.now()
      const certificate = issueInvite({ ...terms, iat, exp: iat + expiresMs })
      return { chain: rootKey ? [certificate] : [...identity.chain, certificate], expiresAt: iat + expiresMs }
    })
    return { key: invite.publicKey, link: formatInviteLink(hostOf(url), identity.root, seed), max, role, expiresAt }
  }

  /** The mesh's invites as their signed certificates describe them; the uses are the broker's count. */
  async list(): Promise<InviteInfo[]> {
    const { invites } = await this.#kernel.calls.session.listInvites({})
    const { mesh, root } = this.#kernel.options.identity
    return invites.map(({ chain, used, createdAt, invitePubkey }) => {
      // As of its own beginning: an expired invite is still listed.
      const { invite } = verifyChain(chain, { mesh, root, now: createdAt, ends: 'invite' })
      if (invite?.key !== invitePubkey) throw new MeshError('bad_chain', 'the broker lists an invite under another key')
      return { key: invite.key, role: invite.role, max: invite.max, used, createdAt, expiresAt: invite.exp, revoked: this.#isRevoked(invite.key) }
    })
  }

  /** Closes an invite. Who came with it stays, unless told: then they are removed, and the mesh gets a new key. */
  async revoke(key: InvitePubkey, { withMembers = false }: { withMembers?: boolean } = {}): Promise<void> {
    const { options, calls, policy } = this.#kernel
    const { mesh, root } = options.identity
    const revoked = policy.current?.revoked ?? { members: [], invites: [], sessions: [] }
    const all = await listMembers(calls, { mesh, root, now: options.clock.now(), revoked })
    const came = all.filter((member) => member.via === key && !member.revoked).map((member) => member.key)
    await this.#kernel.amend({ revoke: { invites: [key], ...(withMembers ? { members: came } : { kept: came }) } })
  }

  /** With the mesh key boxed for whoever comes, so that it can read with nobody online; a rotation meanwhile makes another box due. */
  async #deposit(invite: InvitePubkey, certify: () => { chain: string[]; expiresAt: number }): Promise<number> {
    const { calls, keys } = this.#kernel
    for (let attempt = 1; ; attempt++) {
      const keybox = await keys.boxFor(invite)
      const { chain, expiresAt } = certify()
      try {
        await calls.session.createInvite({ chain, ...(keybox && { keybox }) })
        return expiresAt
      } catch (error) {
        if (!(error instanceof MeshError) || error.code !== 'policy_conflict' || attempt === attempts) throw error
        await this.#kernel.askPolicy()
      }
    }
  }

  #isRevoked(key: InvitePubkey): boolean {
    return this.#kernel.policy.current?.revoked.invites.some((revoked) => revoked === key) ?? false
  }
}

/** Whether this member may sign invites and policies: an admin whose certificate the root itself signed. */
export function isAdmin({ chain, mesh, root }: Identity, now: number): boolean {
  return chain.length === 1 && verifyChain(chain, { mesh, root, now, ends: 'member' }).member.role === 'admin'
}

/** The broker's host as an invite link writes it: bare where the scheme goes without saying. */
function hostOf(url: string): string {
  const { protocol, host, hostname } = new URL(url)
  const usual = ['localhost', '127.0.0.1', '[::1]'].includes(hostname) ? 'ws:' : 'wss:'
  return protocol === usual ? host : `${protocol}//${host}`
}
