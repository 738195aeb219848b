import type { Context } from '../context.ts'
import { loadConfig } from '../home/config.ts'
import { pickMesh } from '../home/meshes.ts'
import { columns, plainText, type Result } from '../output.ts'
import { withMesh } from '../session/connect.ts'
import { whySilent } from '../session/why-silent.ts'

/** The verified live peers. */
export async function peers(context: Context, flags: { mesh?: string; group?: string }): Promise<Result> {
  const entry = pickMesh(loadConfig(context.home), flags.mesh)
  const list = await withMesh(context, entry, { name: entry.name, groups: [] }, async (mesh) =>
    mesh.peers(flags.group === undefined ? {} : { group: flags.group }),
  )
  const rows = list.map((peer) => [
    peer.name,
    peer.fingerprint,
    peer.connected ? peer.status : 'away',
    peer.role ?? '',
    peer.groups.map((group) => `@${group.name}${group.role ? `:${group.role}` : ''}`).join(' '),
    [whySilent(peer, context.clock.now()), plainText(peer.summary ?? '')].filter((part) => part !== undefined && part !== '').join(' · '),
  ])
  return { json: { mesh: entry.slug, peers: list }, text: rows.length ? columns(rows) : `nobody else is in ${entry.slug} right now` }
}
