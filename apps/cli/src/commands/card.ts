import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Context } from '../context.ts'
import { sessionMark } from '../launch/environment.ts'
import { cardFile } from '../launch/plugin.ts'
import { plainPrefix, sessionsFolder } from '../launch/session-folder.ts'

/** Prints who the session of this Claude Code is in the mesh; called by a hook when its model may have forgotten. Nothing where nobody knows, or the launch tells. */
export function card({ env, home, stdout }: Context): void {
  const claude = Number(env['CLAUDE_PID'])
  if (env[sessionMark] || !Number.isSafeInteger(claude)) return
  try {
    stdout.write(readFileSync(join(sessionsFolder(home), `${plainPrefix}${claude}`, cardFile), 'utf8'))
  } catch {
    // No server of ours runs in it.
  }
}
