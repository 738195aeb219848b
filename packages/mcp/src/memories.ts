import type { Mesh, Remembered } from '@claudemesh/client'
import { MeshError, type tools, type ToolInput } from '@claudemesh/protocol'

type Tools = (typeof tools)['memory']

/** Most characters of one memory among several; asked for alone it is shown whole. */
const longest = 4000

export async function remember(mesh: Mesh, { content, tags }: ToolInput<Tools['remember']>): Promise<object> {
  return { id: await mesh.memory.remember(content, tags), status: 'remembered for every peer of this mesh, present and future' }
}

export async function recall(mesh: Mesh, { query, since, ...filters }: ToolInput<Tools['recall']>): Promise<string | object> {
  const options = Object.fromEntries(
    Object.entries({ ...filters, since: since === undefined ? undefined : dateOf(since) }).filter(([, value]) => value !== undefined),
  )
  const found = await mesh.memory.recall(query, options)
  if (found.length === 0) return 'The mesh remembers nothing that fits. Try other or fewer words.'
  return { memories: found.map((memory) => rowOf(memory, found.length > 1)) }
}

export async function forget(mesh: Mesh, { id }: ToolInput<Tools['forget']>): Promise<string> {
  await mesh.memory.forget(id)
  return 'It is forgotten: no peer will recall it any more.'
}

function rowOf({ id, content, tags, by, at }: Remembered, cut: boolean): object {
  const long = cut && content.length > longest
  return {
    id,
    by: by.name,
    at: new Date(at).toISOString().slice(0, 10),
    ...(tags.length === 0 ? {} : { tags }),
    content: long ? content.slice(0, longest).replace(/[\uD800-\uDBFF]$/u, '') : content,
    ...(long ? { rest: `${content.length - longest} more characters; recall it with limit 1 to read it whole` } : {}),
  }
}

function dateOf(text: string): number {
  const at = /^\d{4}-\d{2}-\d{2}/.test(text) ? Date.parse(text) : Number.NaN
  if (Number.isNaN(at)) throw new MeshError('bad_frame', `recall.since: ${JSON.stringify(text)} is no date such as 2026-01-31`)
  return at
}
