import type { Context } from '../context.ts'
import { Failure } from '../failure.ts'
import { loadConfig } from '../home/config.ts'
import { invocation } from '../invocation.ts'
import { defaultName, foundMesh } from '../local/local-mesh.ts'
import { parseName } from '@claudemesh/protocol'
import type { Result } from '../output.ts'

/** Founds a mesh on a broker; this user becomes its admin and the root key lies in a file of its own. */
export async function create(context: Context, slug: string, options: { broker: string; name?: string }): Promise<Result> {
  if (!/^[a-z0-9][a-z0-9-]{0,62}$/.test(slug)) throw new Failure('usage', `${JSON.stringify(slug)} is no slug: use a-z, 0-9 and -, up to 63 characters`)
  if (loadConfig(context.home).meshes.some((entry) => entry.slug === slug)) {
    throw new Failure('already_joined', `you are already in a mesh named ${slug}; choose another name, or: claudemesh leave ${slug}`)
  }
  const { entry, rootKey } = await foundMesh(context, { slug, url: webSocketUrl(options.broker), name: parseName(options.name ?? defaultName()) })
  const text = [
    `mesh ${slug} founded on ${options.broker}; you are its admin as ${entry.name}`,
    `its root key lies in ${rootKey}: move that file to a place offline; you need it only to name further admins or to replace a lost one`,
    `invite others: ${invocation(context)} invite --mesh ${slug}`,
  ]
  return { json: { slug, mesh: entry.mesh, url: entry.url, name: entry.name, rootKey }, text }
}

/** `wss://host`, `https://host` or `host` as the address of its WebSocket. Throws `usage`. */
export function webSocketUrl(broker: string): string {
  const text = /^[a-z]+:\/\//i.test(broker) ? broker : `${/^(localhost|127\.0\.0\.1|\[::1\])(:|$|\/)/.test(broker) ? 'ws' : 'wss'}://${broker}`
  const url = URL.canParse(text) ? new URL(text) : undefined
  const scheme = { 'ws:': 'ws', 'wss:': 'wss', 'http:': 'ws', 'https:': 'wss' }[url?.protocol ?? '']
  if (!url || !scheme || url.username || url.search || url.hash)
    throw new Failure('usage', `${JSON.stringify(broker)} is no broker address; expected something like wss://mesh.example.com`)
  return `${scheme}://${url.host}/ws`
}
