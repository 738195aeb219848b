import type { Mesh } from '@claudemesh/client'
import type { Context } from '../context.ts'
import { tagList } from '../flags.ts'
import { loadConfig } from '../home/config.ts'
import { pickMesh } from '../home/meshes.ts'
import { parsePersona } from '../launch/persona.ts'
import { columns, plainText, type Output, type Result } from '../output.ts'
import { localFilesOf, withMesh } from '../session/connect.ts'
import { progressBar } from '../session/progress.ts'

const filesShown = 20

interface Flags {
  readonly mesh?: string
  readonly name?: string
}

/** Shares a file with the mesh. */
export function share(
  context: Context,
  output: Output,
  path: string,
  flags: Flags & { readonly as?: string; readonly tags?: string; readonly force?: boolean },
): Promise<Result> {
  return inMesh(context, flags, async (mesh) => {
    await using source = await localFilesOf(context).open(path, { force: flags.force === true })
    const options = { tags: tagList(flags.tags), ...(flags.as === undefined ? {} : { name: flags.as }), progress: progressBar(context, output) }
    const shared = await mesh.files.share(source, options)
    return { json: shared, text: `shared ${plainText(shared.name)} (${shared.id})` }
  })
}

/** Downloads a file; a person may save it anywhere. */
export function get(context: Context, output: Output, id: string, to: string, flags: Flags & { readonly overwrite?: boolean }): Promise<Result> {
  return inMesh(context, flags, async (mesh) => {
    const file = await mesh.files.find(id)
    const options = { overwrite: flags.overwrite, anywhere: true, progress: progressBar(context, output) }
    const path = await localFilesOf(context).save(mesh.files, file, to, options)
    return { json: { id, path, size: file.size }, text: `saved ${plainText(path)}, verified` }
  })
}

export interface ListFlags extends Flags {
  readonly from?: string
  readonly limit?: number
  readonly all?: boolean
  /** The `next` of the page before. */
  readonly after?: number
}

/** A page of the shared files that have all these words in name or tags. */
export function list(context: Context, words: readonly string[], flags: ListFlags): Promise<Result> {
  return inMesh(context, flags, async (mesh) => {
    const { from, after, all } = flags
    const { limit = all === true ? Infinity : filesShown } = flags
    const page = await mesh.files.list({
      query: words.join(' '),
      limit,
      ...(from === undefined ? {} : { from }),
      ...(after === undefined ? {} : { cursor: String(after) }),
    })
    const rows = page.files.map(({ id, name, size, by, tags }) => [id, plainText(name), String(size), plainText(by.name), plainText(tags.join(', '))])
    const table = rows.length === 0 ? 'no files' : columns([['id', 'name', 'bytes', 'from', 'tags'], ...rows])
    return { json: page, text: page.next === undefined ? table : [table, `more: --after ${page.next}, or --all`].flat() }
  })
}

/** Who downloaded a file. */
export function status(context: Context, id: string, flags: Flags): Promise<Result> {
  return inMesh(context, flags, async (mesh) => {
    const readers = await mesh.files.status(id)
    const rows = readers.map(({ name, readAt }) => [plainText(name), readAt === undefined ? 'not yet' : new Date(readAt).toISOString()])
    return { json: readers, text: rows.length === 0 ? 'nobody downloaded it yet' : columns(rows) }
  })
}

export function rm(context: Context, id: string, flags: Flags): Promise<Result> {
  return inMesh(context, flags, async (mesh) => {
    await mesh.files.delete(id)
    return { json: { deleted: id }, text: `deleted ${id}` }
  })
}

function inMesh(context: Context, flags: Flags, task: (mesh: Mesh) => Promise<Result>): Promise<Result> {
  const entry = pickMesh(loadConfig(context.home), flags.mesh)
  return withMesh(context, entry, parsePersona(flags, entry.name), task)
}
