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
  await ready()
  const invite = parseInviteLink(link)
  const known = loadConfig(context.home).meshes.find((entry) => entry.mesh === invite.mesh)
  if (known) throw new Failure('already_joined', `you are already a member of ${known.slug}; nothing was used up`)
  const enrolled = await enrol({ link: invite, name, clock: context.clock, dial: nodeDial, random: nodeRandom })
  const { member } = verifyChain(enrolled.chain, { mesh: enrolled.mesh, root: enrolled.root, now: context.clock.now(), ends: 'member' })
  const entry = entryOf(enrolled, name, member.role)
  const config = await updateConfig(context.home, (current) => addMesh(current, entry))
  policyPin(context.home, entry.mesh).save(enrolled.policy)
  return config.meshes.find((one) => one.mesh === entry.mesh) ?? entry
}
