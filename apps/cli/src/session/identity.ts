import { fromB64u, memberKey, ready, toB64u, seedOf } from '@claudemesh/crypto'
import type { Identity } from '@claudemesh/client'
import type { MeshId, RootPubkey } from '@claudemesh/protocol'
import type { MeshEntry } from '../home/config.ts'

/** The membership as the client wants it: keys made from their seeds. */
export async function identityOf(entry: Pick<MeshEntry, 'mesh' | 'root' | 'slug' | 'member' | 'chain'>): Promise<Identity> {
  await ready()
  return { mesh: entry.mesh as MeshId, root: entry.root as RootPubkey, slug: entry.slug, member: memberKey(fromB64u(entry.member, 32)), chain: entry.chain }
}

/** The membership as it is kept: keys as seeds. */
export function entryOf(identity: Identity & { readonly url: string }, name: string, role: MeshEntry['role']): MeshEntry {
  const { slug, url, mesh, root, chain } = identity
  return { slug, url, mesh, root, name, role, member: toB64u(seedOf(identity.member)), chain: [...chain] }
}
