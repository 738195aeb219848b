import { MeshError } from '@claudemesh/protocol'
import { Steps } from './chain-steps.ts'
import type { Chain, ChainEnd, ChainOptions, ChainTo, Revoked } from './chain-types.ts'
import { meshIdOf } from './keys.ts'
import type { TokenType } from './payloads.ts'

// How a chain is read follows from its end and its length alone, never from what its tokens claim to be.
const grammar: Record<ChainEnd, readonly (readonly TokenType[])[]> = {
  invite: [['invite'], ['member', 'invite']],
  member: [['member'], ['invite', 'member'], ['member', 'invite', 'member']],
  session: [
    ['member', 'session'],
    ['invite', 'member', 'session'],
    ['member', 'invite', 'member', 'session'],
  ],
}

/** Verifies a chain of certificates up to the mesh's root. Throws `bad_token`, `bad_chain`, `revoked` or `invite_expired`, naming the rule. */
export function verifyChain<E extends ChainEnd>(tokens: readonly string[], o: ChainOptions<E>): ChainTo<E> {
  if (meshIdOf(o.root) !== o.mesh) throw bad('the root key does not belong to this mesh')
  const types = grammar[o.ends].find((form) => form.length === tokens.length)
  if (!types) throw bad(`${tokens.length} certificates do not form a chain to ${o.ends === 'invite' ? 'an' : 'a'} ${o.ends}`)
  const steps = new Steps(o)
  tokens.forEach((token, i) => steps.add(token, types[i] as TokenType))
  const chain = steps.finish()
  refuseRevoked(chain, o.revoked)
  return chain as ChainTo<E>
}

function refuseRevoked(chain: Chain, revoked: Revoked | undefined): void {
  if (!revoked) return
  const { admin, invite, member, session } = chain
  if (admin && revoked.members.includes(admin.key)) throw new MeshError('revoked', 'the admin who issued the invite is revoked')
  if (invite && revoked.invites.includes(invite.key) && !(member && revoked.kept?.includes(member.key))) throw new MeshError('revoked', 'the invite is revoked')
  if (member && revoked.members.includes(member.key)) throw new MeshError('revoked', 'the member is revoked')
  if (session && revoked.sessions.includes(session.key)) throw new MeshError('revoked', 'the session is revoked')
}

const bad = (why: string) => new MeshError('bad_chain', why)
