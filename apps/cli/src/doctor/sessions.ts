import { readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { z } from 'zod'
import type { Context } from '../context.ts'
import { hookOf, wayOf } from '../session/fare.ts'
import { liveSessions, type SessionVitals } from '../session/vitals.ts'
import { pass, warn, type Check } from './check.ts'

const registry = z.object({ statusUpdatedAt: z.number() })
/** A session says several things about itself at its start. */
const settled = 30_000

/** The sessions that run here: whether their hooks fire, and whether messages find a way into them. */
export function checkSessions(context: Context): Check[] {
  return liveSessions(context.home).flatMap((session) => [hooksOf(context, session), waysOf(session)])
}

function hooksOf(context: Context, session: SessionVitals): Check {
  const check = `${session.name ?? 'a session'} hooks`
  const says = hookOf(session, context.clock.now())
  const acted = lastActed(context, session.claude)
  if (session.hook || acted === undefined || acted < session.since + settled) return pass(check, says)
  return warn(check, `${says}, though the session worked`, 'look for disableAllHooks in its settings, and in those of its project and organisation')
}

function waysOf(session: SessionVitals): Check {
  const check = `${session.name ?? 'a session'} messages`
  const says = `${wayOf(session)}${session.waiting === 0 ? '' : `; ${session.waiting} waiting`}`
  if (session.paths.length === 0 || session.paths.some(({ state }) => state !== 'fails')) return pass(check, says)
  return warn(check, says, 'nothing wakes that session: type into it, or start it again')
}

/** When Claude Code last wrote down that its session began or ended something. */
function lastActed({ env }: Context, claude: number): number | undefined {
  const folder = env['CLAUDE_CONFIG_DIR'] ?? join(env['HOME'] ?? homedir(), '.claude')
  try {
    return registry.parse(JSON.parse(readFileSync(join(folder, 'sessions', `${claude}.json`), 'utf8'))).statusUpdatedAt
  } catch {
    return undefined
  }
}
