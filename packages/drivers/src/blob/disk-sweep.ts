import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { codeOf, statFile } from './disk-files.ts'
import { dayEnded } from './place.ts'

/** Removes from every mesh's folder the uploads not written to since `before`, and the days that were over by then. */
export async function sweepFolder(root: string, before: number): Promise<void> {
  for (const name of await namesIn(root)) {
    if (!name.startsWith('mesh-')) continue
    await sweepUploads(join(root, name, 'uploads'), before)
    await sweepDays(join(root, name, 'ephemeral'), before)
  }
}

async function sweepUploads(folder: string, before: number): Promise<void> {
  for (const name of await namesIn(folder)) {
    const path = join(folder, name)
    const stat = await statFile(path)
    if (stat && stat.mtimeMs < before) await rm(path, { force: true })
  }
}

async function sweepDays(folder: string, before: number): Promise<void> {
  for (const day of await namesIn(folder)) if (dayEnded(day, before)) await rm(join(folder, day), { recursive: true, force: true })
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder)
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return []
    throw error
  }
}
