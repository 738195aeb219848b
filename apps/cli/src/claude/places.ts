import { homedir } from 'node:os'
import { join } from 'node:path'
import type { Context } from '../context.ts'

/** The files of Claude Code in which a user's own settings lie. */
export interface ClaudePlaces {
  /** Servers of the user scope, beside much that is Claude Code's own. */
  readonly state: string
  readonly settings: string
  readonly skill: string
}

/** Where Claude Code looks under this environment: below CLAUDE_CONFIG_DIR, or in the home folder. */
export function claudePlaces(env: Context['env']): ClaudePlaces {
  const home = env['HOME'] ?? homedir()
  const own = env['CLAUDE_CONFIG_DIR']
  const folder = own || join(home, '.claude')
  return { state: join(own || home, '.claude.json'), settings: join(folder, 'settings.json'), skill: join(folder, 'skills', 'claudemesh', 'SKILL.md') }
}
