import { enrol } from '@claudemesh/client'
import { nodeDial, nodeRandom } from '@claudemesh/client/node'
import { parseInviteLink, ready, verifyChain } from '@claudemesh/crypto'
import type { Context } from '../context.ts'
import { addMesh } from '../home/meshes.ts'
import { loadConfig, updateConfig, type MeshEntry } from '../home/config.ts'
import { entryOf } from './identity.ts'
import { policyPin } from '../home/policy-pin.ts'
import { Failure } from '../failure.ts'

/** Enrols with an invite link and keeps the membership. Throws before a use is counted when this user is already a member. */
export async function joinMesh(context: Context, link: string, name: string): Promise<MeshEntry> {
  const known = await membershipOf(context, link)
  if (known) throw new Failure('already_joined', `you are already a member of ${known.slug}; nothing was used up`)
  const enrolled = await enrol({ link: parseInviteLink(link), name, clock: context.clock, dial: nodeDial, random: nodeRandom })
  const { member } = verifyChain(enrolled.chain, { mesh: enrolled.mesh, root: enrolled.root, now: context.clock.now(), ends: 'member' })
  const entry = entryOf(enrolled, name, member.role)
  const config = await updateConfig(context.home, (current) => addMesh(current, entry))
  policyPin(context.home, entry.mesh).save(enrolled.policy)
  return config.meshes.find((one) => one.mesh === entry.mesh) ?? entry
}

/** This user's membership of the link's mesh, if there is one already. */
export async function membershipOf(context: Context, link: string): Promise<MeshEntry | undefined> {
  await ready()
  const { mesh } = parseInviteLink(link)
  return loadConfig(context.home).meshes.find((entry) => entry.mesh === mesh)
}
