import { verifyChain, type ChainMember, type Revoked } from '@claudemesh/crypto'
import type { Contract, MemberId, MeshId, RootPubkey } from '@claudemesh/protocol'
import type { Calls } from './calls.ts'

const nobody = { members: [], invites: [], sessions: [] }

/** A member as its own certificates describe it. */
export interface Enrolment extends ChainMember {
  readonly joinedAt: number
  /** The policy refuses it, its invite, or who invited it. */
  readonly revoked: boolean
}

const mostPages = 100

/** The certificates of everybody who ever became a member, as the broker lists them: not verified. */
export async function listChains(calls: Pick<Calls<Contract>, 'session'>): Promise<{ chain: string[]; createdAt: number }[]> {
  const all: { chain: string[]; createdAt: number }[] = []
  let cursor: MemberId | undefined
  for (let page = 0; page < mostPages; page++) {
    const { members, tokens, next } = await calls.session.listMembers(cursor === undefined ? {} : { cursor })
    for (const { chain, createdAt } of members) all.push({ chain: chain.flatMap((index) => tokens[index] ?? []), createdAt })
    cursor = next
    if (cursor === undefined) break
  }
  return all
}

/** Everybody who ever became a member and whose certificates verify; whom the broker hides is not among them. */
export async function listMembers(
  calls: Pick<Calls<Contract>, 'session'>,
  o: { mesh: MeshId; root: RootPubkey; now: number; revoked?: Revoked },
): Promise<Enrolment[]> {
  return (await listChains(calls)).flatMap(({ chain, createdAt }) => {
    const member = believed(chain, { ...o, revoked: nobody })
    return member ? [{ ...member, joinedAt: createdAt, revoked: !believed(chain, o) }] : []
  })
}

function believed(tokens: readonly string[], o: { mesh: MeshId; root: RootPubkey; now: number; revoked?: Revoked }): ChainMember | undefined {
  try {
    return verifyChain(tokens, { ...o, ends: 'member' }).member
  } catch {
    return undefined
  }
}
