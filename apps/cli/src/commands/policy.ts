import type { Mesh } from '@claudemesh/client'
import { fingerprint } from '@claudemesh/crypto'
import type { Context } from '../context.ts'
import { Failure } from '../failure.ts'
import type { Forms } from '../flags.ts'
import { loadConfig } from '../home/config.ts'
import { pickMesh } from '../home/meshes.ts'
import { columns, plainText, type Result } from '../output.ts'
import { withMesh } from '../session/connect.ts'

/** The signed rules of a mesh; with `set`, changed first. */
export async function policy(context: Context, flags: { mesh?: string; set?: Forms }): Promise<Result> {
  const entry = pickMesh(loadConfig(context.home), flags.mesh)
  if (flags.set?.files === 'plain') throw new Failure('usage', 'files are always sealed; state and memory may be plain')
  const report = await withMesh(context, entry, { name: entry.name, groups: [] }, async (mesh) => {
    if (flags.set) await mesh.amend({ allow: flags.set })
    return describe(mesh, entry.root)
  })
  const { v, epoch, allow, revoked, signedBy } = report
  const count = (n: number, what: string) => `${n} ${what}${n === 1 ? '' : 's'}`
  const rows = [
    ['version', String(v)],
    ['epoch', epoch === undefined ? 'none: nothing can be stored sealed yet' : String(epoch)],
    ['state', allow.state],
    ['memory', allow.memory],
    ['files', allow.files],
    ['plaintext', allow.plaintext ? 'allowed' : 'refused'],
    ['revoked', [count(revoked.members, 'member'), count(revoked.invites, 'invite'), count(revoked.sessions, 'session')].join(', ')],
    ['signed', `by ${signedBy.name} (${signedBy.fingerprint}), ${new Date(report.iat).toISOString()}`],
  ]
  return { json: { mesh: entry.slug, ...report }, text: columns(rows) }
}

/** Begins a new epoch: what is stored from now on only the present members can read. */
export async function rotate(context: Context, flags: { mesh?: string }): Promise<Result> {
  const entry = pickMesh(loadConfig(context.home), flags.mesh)
  const { v, epoch } = await withMesh(context, entry, { name: entry.name, groups: [] }, async (mesh) => {
    await mesh.amend({ rotate: true })
    return describe(mesh, entry.root)
  })
  return { json: { mesh: entry.slug, v, epoch }, text: `${entry.slug} has a new key: epoch ${epoch}; what was stored before stays readable to its members` }
}

async function describe(mesh: Mesh, root: string) {
  const { policy } = mesh
  if (!policy) throw new Error('a connected mesh has a policy')
  const { v, iat, epoch, allow, revoked, by } = policy
  const members = await mesh.members()
  const name = by === root ? 'the root key' : plainText(members.find((member) => member.key === by)?.name ?? 'an admin')
  return {
    v,
    iat,
    ...(epoch && { epoch: epoch.number }),
    allow,
    revoked: { members: revoked.members.length, invites: revoked.invites.length, sessions: revoked.sessions.length },
    signedBy: { name, fingerprint: fingerprint(by) },
  }
}
