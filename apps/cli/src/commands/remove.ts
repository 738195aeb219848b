import { MeshError } from '@claudemesh/protocol'
import type { Context } from '../context.ts'
import { Failure } from '../failure.ts'
import { loadConfig } from '../home/config.ts'
import { pickMesh } from '../home/meshes.ts'
import { askConsent } from '../launch/ask.ts'
import { plainText, type Result } from '../output.ts'
import { withMesh } from '../session/connect.ts'
import { findMember, labelOf } from '../session/find-member.ts'

interface RemoveFlags {
  readonly mesh?: string
  readonly yes?: boolean
}

/** Removes a member for good: its sessions are dropped, and the mesh gets a new key that it does not have. */
export async function remove(context: Context, who: string, flags: RemoveFlags): Promise<Result> {
  const entry = pickMesh(loadConfig(context.home), flags.mesh)
  return withMesh(context, entry, { name: entry.name, groups: [] }, async (mesh) => {
    const member = await findMember(mesh, who)
    const label = labelOf(member)
    await consent(context, flags, `Remove ${label} from ${entry.slug} for good?`)
    await mesh.amend({ revoke: { members: [member.key] } })
    const { v, epoch } = mesh.policy ?? {}
    return {
      json: { mesh: entry.slug, removed: { id: member.id, key: member.key, name: member.name }, v, epoch: epoch?.number },
      text: [`removed ${label}; ${entry.slug} has a new key: epoch ${epoch?.number}`, 'what was stored before may have been copied: it could read that'],
    }
  })
}

/** Closes an invite. Who came with it stays, unless `withMembers` is said: then the mesh gets a new key, too. */
export async function revokeInvite(context: Context, key: string, flags: RemoveFlags & { withMembers?: boolean }): Promise<Result> {
  const entry = pickMesh(loadConfig(context.home), flags.mesh)
  return withMesh(context, entry, { name: entry.name, groups: [] }, async (mesh) => {
    const found = (await mesh.invites.list()).filter((invite) => invite.key.startsWith(key))
    const [invite] = found
    if (!invite || found.length > 1) {
      throw new MeshError(
        'not_found',
        `${found.length === 0 ? 'no' : 'more than one'} invite of ${entry.slug} begins with ${JSON.stringify(key)}; see: claudemesh invites`,
      )
    }
    const members = (await mesh.members()).filter((member) => member.via === invite.key && !member.revoked)
    if (flags.withMembers && members.length > 0)
      await consent(context, flags, `Remove ${members.map((member) => plainText(member.name)).join(', ')} from ${entry.slug}, too?`)
    await mesh.invites.revoke(invite.key, { withMembers: flags.withMembers === true })
    const names = members.map((member) => member.name)
    const outcome = names.length === 0 ? 'nobody had used it' : `${plainText(names.join(', '))} ${flags.withMembers ? 'removed' : 'stay'}`
    return {
      json: { mesh: entry.slug, revoked: invite.key, members: names, removed: flags.withMembers === true },
      text: `invite ${invite.key.slice(0, 8)} revoked; ${outcome}`,
    }
  })
}

async function consent(context: Context, flags: RemoveFlags, question: string): Promise<void> {
  if (flags.yes) return
  if (context.stdin.isTTY !== true) throw new Failure('usage', 'there is no terminal to ask on; add --yes')
  if (!(await askConsent(context, question))) throw new Failure('usage', 'nothing was changed')
}
