import { fingerprint } from '@claudemesh/crypto'
import type { Peer } from '@claudemesh/client'
import { foldName } from '@claudemesh/protocol'
import type { Context } from '../context.ts'
import { loadConfig } from '../home/config.ts'
import { pickMesh } from '../home/meshes.ts'
import { loadVerified, type VerifiedMembers } from '../home/verified.ts'
import { columns, plainText, type Result } from '../output.ts'
import { withMesh } from '../session/connect.ts'
import { whySilent } from '../session/why-silent.ts'

/** The verified live peers. */
export async function peers(context: Context, flags: { mesh?: string; group?: string }): Promise<Result> {
  const entry = pickMesh(loadConfig(context.home), flags.mesh)
  const list = await withMesh(context, entry, { name: entry.name, groups: [] }, async (mesh) =>
    mesh.peers(flags.group === undefined ? {} : { group: flags.group }),
  )
  const verified = loadVerified(context.home, entry.mesh)
  const rows = list.map((peer) => [
    verified[peer.member.key] ? `${peer.name} ✓` : peer.name,
    peer.fingerprint,
    peer.connected ? peer.status : 'away',
    peer.role ?? '',
    peer.groups.map((group) => `@${group.name}${group.role ? `:${group.role}` : ''}`).join(' '),
    [whySilent(peer, context.clock.now()), plainText(peer.summary ?? '')].filter((part) => part !== undefined && part !== '').join(' · '),
  ])
  const warnings = list.flatMap((peer) => impostures(peer, verified))
  return {
    json: {
      mesh: entry.slug,
      peers: list.map((peer) => ({ ...peer, verified: verified[peer.member.key] !== undefined })),
      ...(warnings.length > 0 && { warnings }),
    },
    text: rows.length ? [...columns(rows), ...warnings] : `nobody else is in ${entry.slug} right now`,
  }
}

/** A name of somebody verified, borne by another member. */
function impostures(peer: Peer, verified: VerifiedMembers): string[] {
  if (verified[peer.member.key]) return []
  const names = new Set([peer.name, peer.member.name].map(foldName))
  const known = Object.entries(verified).find(([, member]) => names.has(foldName(member.name)))
  if (!known) return []
  const [key, { name }] = known
  const other = fingerprint(peer.member.key)
  return [`warning: ${plainText(peer.name)} (member ${other}) is not the ${plainText(name)} whom you verified (member ${fingerprint(key)})`]
}
