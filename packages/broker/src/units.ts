import { contract, type Member } from '@claudemesh/protocol'
import type { Kind } from './rates.ts'

const { session, peers, groups, messages, keys, state, memory, files } = contract
const writes: ReadonlySet<Member> = new Set<Member>([
  session.setPolicy,
  session.createInvite,
  peers.setSummary,
  peers.setStatus,
  groups.join,
  groups.leave,
  messages.sendMore,
  keys.put,
  state.set,
  state.delete,
  memory.remember,
  memory.forget,
  files.upload,
  files.finish,
  files.delete,
])

/** What one request counts as. */
export const kindOf = (member: Member): Kind => (writes.has(member) ? 'writes' : 'requests')

/** How many names a notice carries. */
export function unitsOf(input: object): number {
  let units = 1
  for (const field of Object.values(input)) if (Array.isArray(field)) units += field.length
  return units
}
