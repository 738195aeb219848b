import { verifyChain, type ChainMember, type Revoked } from '@claudemesh/crypto'
import type { Contract, MeshId, RootPubkey } from '@claudemesh/protocol'
import type { Calls } from './calls.ts'

const nobody = { members: [], invites: [], sessions: [] }

/** A member as its own certificates describe it. */
export interface Enrolment extends ChainMember {
  readonly joinedAt: number
  /** The policy refuses it, its invite, or who invited it. */
  readonly revoked: boolean
}

/** Everybody who ever became a member and whose certificates verify; whom the broker hides is not among them. */
export async function listMembers(calls: Calls<Contract>, o: { mesh: MeshId; root: RootPubkey; now: number; revoked?: Revoked }): Promise<Enrolment[]> {
  const all: Enrolment[] = []
  let cursor: Awaited<ReturnType<typeof calls.session.listMembers>>['next']
  do {
    const page = await calls.session.listMembers(cursor === undefined ? {} : { cursor })
    for (const { chain, createdAt } of page.members) {
      const tokens = chain.map((index) => page.tokens[index] ?? '')
      const member = believed(tokens, { ...o, revoked: nobody })
      if (member) all.push({ ...member, joinedAt: createdAt, revoked: !believed(tokens, o) })
    }
    cursor = page.next
  } while (cursor !== undefined)
  return all
}

function believed(tokens: readonly string[], o: { mesh: MeshId; root: RootPubkey; now: number; revoked?: Revoked }): ChainMember | undefined {
  try {
    return verifyChain(tokens, { ...o, ends: 'member' }).member
  } catch {
    return undefined
  }
}
