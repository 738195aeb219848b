import type { Context } from '../context.ts'
import { Failure } from '../failure.ts'
import { askRelease } from '../launch/release.ts'
import { liveSessionFolders } from '../launch/session-folder.ts'
import type { Result } from '../output.ts'

/** Lets through what the guards of this user's sessions hold back, with a whole budget for each peer. */
export function letContinue(context: Context): Result {
  const folders = liveSessionFolders(context.home)
  if (folders.length === 0) throw new Failure('no_session', 'no session runs here; run this where it runs, as the same user')
  for (const folder of folders) askRelease(folder, context.clock.now())
  return { json: { sessions: folders.length }, text: `${folders.length} ${folders.length === 1 ? 'session takes' : 'sessions take'} messages again` }
}
