import { text as readAll } from 'node:stream/consumers'
import { parseName } from '@claudemesh/protocol'
import type { Context } from '../context.ts'
import { Failure } from '../failure.ts'
import { invocation } from '../invocation.ts'
import { defaultName } from '../local/local-mesh.ts'
import type { Result } from '../output.ts'
import { joinMesh } from '../session/join-mesh.ts'

/** Makes this user a member of the invite's mesh. The link comes as the argument, from stdin with `-`, or from CLAUDEMESH_INVITE. */
export async function join(context: Context, link: string | undefined, options: { name?: string }): Promise<Result> {
  const secret = link === '-' ? await readAll(context.stdin) : (link ?? context.env['CLAUDEMESH_INVITE'])
  if (secret === undefined) throw new Failure('usage', 'which invite? claudemesh join cm1:…, or claudemesh join - to read it from stdin')
  const entry = await joinMesh(context, secret.trim(), parseName(options.name ?? defaultName()))
  return {
    json: { slug: entry.slug, mesh: entry.mesh, url: entry.url, name: entry.name, role: entry.role },
    text: [`joined ${entry.slug} as ${entry.name}`, `next: ${invocation(context)} launch --mesh ${entry.slug}`],
  }
}
