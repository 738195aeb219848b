import { text as readAll } from 'node:stream/consumers'
import type { Remembered } from '@claudemesh/client'
import { runTool } from '@claudemesh/mcp'
import type { Context } from '../context.ts'
import { tagList } from '../flags.ts'
import { loadConfig } from '../home/config.ts'
import { pickMesh } from '../home/meshes.ts'
import { plainText, type Output, type Result } from '../output.ts'
import { withMesh } from '../session/connect.ts'

interface MeshFlag {
  readonly mesh?: string
}

/** Keeps a text for the whole mesh; - reads it from stdin. */
export async function remember(context: Context, text: string, flags: MeshFlag & { tags?: string }): Promise<Result> {
  const content = text === '-' ? await readAll(context.stdin) : text
  const id = await inMesh(context, flags, (mesh) => mesh.memory.remember(content, tagList(flags.tags)))
  return { json: { id }, text: `remembered as ${id}` }
}

export interface RecallFlags extends MeshFlag {
  readonly tags?: string
  readonly by?: string
  readonly since?: number
  readonly limit?: number
}

/** Searches what the mesh remembers. */
export async function recall(context: Context, output: Output, words: readonly string[], flags: RecallFlags): Promise<Result> {
  const { by, since, limit } = flags
  const filters = {
    tags: tagList(flags.tags),
    ...(by === undefined ? {} : { by }),
    ...(since === undefined ? {} : { since }),
    ...(limit === undefined ? {} : { limit }),
  }
  const memories = await inMesh(context, flags, (mesh) => mesh.memory.recall(words.join(' '), filters))
  const text = memories.flatMap((memory) => linesOf(output, memory))
  return { json: { memories }, text: text.length > 0 ? text : 'the mesh remembers nothing that fits' }
}

/** Takes a memory out of recall, for everybody. */
export async function forget(context: Context, id: string, flags: MeshFlag): Promise<Result> {
  await inMesh(context, flags, (mesh) => runTool(mesh, 'forget', { id }))
  return { json: { id, forgotten: true }, text: `forgotten: ${id}` }
}

function inMesh<T>(context: Context, { mesh }: MeshFlag, task: Parameters<typeof withMesh<T>>[3]): Promise<T> {
  const entry = pickMesh(loadConfig(context.home), mesh)
  return withMesh(context, entry, { name: entry.name, groups: [] }, task)
}

function linesOf(output: Output, { id, content, tags, by, at }: Remembered): string[] {
  const head = [by.name, new Date(at).toISOString().slice(0, 10), ...tags.map((tag) => `#${tag}`), id]
  return [
    output.style('cyan', plainText(head.join('  '))),
    ...plainText(content)
      .split('\n')
      .map((line) => `  ${line}`),
  ]
}
