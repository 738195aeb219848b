import type { Enrolment, Mesh } from '@claudemesh/client'
import { fingerprint } from '@claudemesh/crypto'
import { foldName, MeshError } from '@claudemesh/protocol'
import { columns, plainText } from '../output.ts'

/** How a member is shown to people: its name, and the fingerprint of its key. */
export const labelOf = (member: Pick<Enrolment, 'name' | 'key'>): string => `${plainText(member.name)} (${fingerprint(member.key)})`

/** Another member by name, id or fingerprint; with `sessions` also by the name of a live session of it. Throws `unknown_target` or `ambiguous_name`, listing who there is. */
export async function findMember(mesh: Mesh, who: string, { sessions = false } = {}): Promise<Enrolment> {
  const wanted = foldName(who)
  const members = (await mesh.members()).filter((member) => !member.revoked && member.id !== mesh.me.memberId)
  const live = new Set(sessions ? mesh.peers().flatMap((peer) => (foldName(peer.name) === wanted ? [peer.member.id] : [])) : [])
  const found = members.filter((member) => live.has(member.id) || member.id === who || [foldName(member.name), fingerprint(member.key)].includes(wanted))
  const [only, second] = found
  if (only && !second) return only
  const list = columns((second ? found : members).map((member) => [plainText(member.name), fingerprint(member.key), member.role])).join('\n')
  if (second) throw new MeshError('ambiguous_name', `several members are called ${JSON.stringify(who)}; name one by its fingerprint:\n${list}`)
  throw new MeshError('unknown_target', `no other member is called ${JSON.stringify(who)}${list ? `; there are:\n${list}` : ''}`)
}
