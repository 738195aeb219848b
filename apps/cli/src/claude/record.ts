import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import { Failure } from '../failure.ts'
import { ensurePrivateFolder, readPrivate, replacePrivate } from '../home/private-file.ts'

const entry = z.object({
  kind: z.enum(['server', 'hooks', 'file']),
  /** The text that stood there before, null for none. */
  before: z.string().nullable(),
  /** Digest of what we left there. */
  after: z.string(),
  /** Folders that were made for it, outermost first. */
  folders: z.array(z.string()),
})
const record = z.object({ version: z.literal(1), files: z.record(z.string(), entry) })

/** What `install` did to one file. */
export type RecordEntry = z.infer<typeof entry>
/** By path. */
type InstallRecord = z.infer<typeof record>['files']

const file = (home: string) => join(home, 'install.json')

/** What `install` did so far. It holds the whole texts from before: it is the backup. */
export function loadRecord(home: string): InstallRecord {
  const text = readPrivate(file(home))
  if (text === undefined) return {}
  const parsed = record.safeParse(parseJson(text))
  if (!parsed.success)
    throw new Failure('broken_config', `${file(home)} is damaged; move it away and run this again (your settings are then undone entry by entry)`)
  return parsed.data.files
}

/** Keeps the record, readable by its user alone; an empty one goes. */
export function saveRecord(home: string, files: InstallRecord): void {
  if (Object.keys(files).length === 0) return rmSync(file(home), { force: true })
  ensurePrivateFolder(home)
  replacePrivate(file(home), `${JSON.stringify({ version: 1, files }, null, 2)}\n`)
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
