import { fromB64u, ready, rootKey } from '@claudemesh/crypto'
import type { Context } from '../context.ts'
import { Failure } from '../failure.ts'
import { loadConfig } from '../home/config.ts'
import { pickMesh } from '../home/meshes.ts'
import { loadRootKey } from '../home/root-key.ts'
import { invocation } from '../invocation.ts'
import { columns, type Result } from '../output.ts'
import { withMesh } from '../session/connect.ts'

export interface InviteFlags {
  readonly mesh?: string
  readonly max: number
  /** Milliseconds. */
  readonly expires: number
  readonly role: 'admin' | 'member'
}

/** Deposits an invite and prints the command that redeems it. The link is a secret. */
export async function invite(context: Context, flags: InviteFlags): Promise<Result> {
  const entry = pickMesh(loadConfig(context.home), flags.mesh)
  const root = flags.role === 'admin' ? { rootKey: await rootOf(context, entry.slug) } : {}
  const made = await withMesh(context, entry, { name: entry.name, groups: [] }, (mesh) =>
    mesh.invites.create({ max: flags.max, expiresMs: flags.expires, role: flags.role, ...root }),
  )
  const command = `${invocation(context)} join ${made.link}`
  const uses = made.max === 1 ? 'once' : `${made.max} times`
  return {
    json: { command, link: made.link, mesh: entry.slug, max: made.max, role: made.role, expiresAt: made.expiresAt },
    text: [
      command,
      '',
      `works ${uses}, until ${new Date(made.expiresAt).toISOString()}; whoever has it can join ${entry.slug}: send it privately`,
      ...(isLoopback(entry.url) ? ['the link leads to this machine alone; for others, found a mesh with claudemesh create on a broker that they reach'] : []),
    ],
  }
}

const isLoopback = (url: string) => /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(new URL(url).hostname)

/** Lists the mesh's invites with their uses; the links themselves are nowhere kept. */
export async function invites(context: Context, flags: { mesh?: string }): Promise<Result> {
  const entry = pickMesh(loadConfig(context.home), flags.mesh)
  const list = await withMesh(context, entry, { name: entry.name, groups: [] }, (mesh) => mesh.invites.list())
  const rows = list.map((one) => {
    const state = one.revoked ? 'revoked' : one.expiresAt < context.clock.now() ? 'expired' : one.used >= one.max ? 'used up' : 'open'
    return [one.key.slice(0, 8), one.role, `${one.used}/${one.max}`, state, `until ${new Date(one.expiresAt).toISOString()}`]
  })
  return {
    json: { mesh: entry.slug, invites: list },
    text: rows.length ? columns(rows) : `${entry.slug} has no invites; make one: ${invocation(context)} invite`,
  }
}

async function rootOf(context: Context, slug: string) {
  const seed = loadRootKey(context.home, slug)
  if (seed === undefined)
    throw new Failure('unsafe_file', `only the root key may invite admins, and it is not on this machine; put it back as roots/${slug}.root.key for a moment`)
  await ready()
  return rootKey(fromB64u(seed, 32))
}
