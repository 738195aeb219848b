import { join } from 'node:path'
import { z } from 'zod'
import { Failure } from '../failure.ts'
import { withLock } from './lock.ts'
import { ensurePrivateFolder, readPrivate, replacePrivate } from './private-file.ts'

const form = z.record(z.string(), z.object({ name: z.string(), at: z.number() }))

/** Members whose words this user has compared with them: their keys, and what they were called then. */
export type VerifiedMembers = z.infer<typeof form>

const file = (home: string, mesh: string) => join(home, 'verified', mesh)

/** Whom this user verified in a mesh. Throws `broken_config` for a file that cannot be understood. */
export function loadVerified(home: string, mesh: string): VerifiedMembers {
  const text = readPrivate(file(home, mesh))
  if (text === undefined) return {}
  try {
    return form.parse(JSON.parse(text))
  } catch (cause) {
    throw new Failure('broken_config', `${file(home, mesh)} is damaged; remove it and verify your peers again`, { cause })
  }
}

/** Keeps a member as verified. */
export async function saveVerified(home: string, mesh: string, key: string, member: VerifiedMembers[string]): Promise<void> {
  ensurePrivateFolder(home)
  ensurePrivateFolder(join(home, 'verified'))
  await withLock(`${file(home, mesh)}.lock`, () => replacePrivate(file(home, mesh), JSON.stringify({ ...loadVerified(home, mesh), [key]: member })))
}
