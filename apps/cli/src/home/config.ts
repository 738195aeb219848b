import { renameSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import { Failure } from '../failure.ts'
import { withLock } from './lock.ts'
import { ensurePrivateFolder, readPrivate, replacePrivate } from './private-file.ts'

/** The form of a membership on disk and in the handover. */
export const meshEntry = z.object({
  slug: z.string().min(1),
  /** The broker's WebSocket address. */
  url: z.string(),
  mesh: z.string(),
  root: z.string(),
  /** This member's name. */
  name: z.string(),
  role: z.enum(['admin', 'member']),
  /** Seed of the member key, base64url. */
  member: z.string(),
  chain: z.array(z.string()).min(1),
  /** The data folder of the embedded broker that this mesh lives on. */
  data: z.string().optional(),
})

const config = z.object({ version: z.literal(1), meshes: z.array(meshEntry) })

/** One membership: all that `join` or `create` left behind, secret included. */
export type MeshEntry = z.infer<typeof meshEntry>
export type Config = z.infer<typeof config>

const file = (home: string) => join(home, 'config.json')

/** The memberships of this user; none when there is no file. A file that cannot be understood is kept under another name and reported. */
export function loadConfig(home: string): Config {
  const text = readPrivate(file(home))
  if (text === undefined) return { version: 1, meshes: [] }
  const parsed = config.safeParse(parseJson(text))
  if (parsed.success) return parsed.data
  const aside = `${file(home)}.broken-${Date.now()}`
  renameSync(file(home), aside)
  const issue = parsed.error.issues[0]
  const fault = issue ? `${issue.path.join('.') || 'the file'}: ${issue.message}` : 'wrong form'
  throw new Failure('broken_config', `${file(home)} is damaged (${fault}); it was kept as ${aside}: mend it and move it back, or join your meshes again`)
}

/** Changes the configuration as one step among all processes of this user, and returns what `change` made of it. */
export async function updateConfig(home: string, change: (config: Config) => Config): Promise<Config> {
  ensurePrivateFolder(home)
  return withLock(`${file(home)}.lock`, () => {
    const next = change(loadConfig(home))
    replacePrivate(file(home), `${JSON.stringify(next, null, 2)}\n`)
    return next
  })
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
