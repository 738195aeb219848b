import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Vitals } from '@claudemesh/mcp'
import { z } from 'zod'
import type { Context } from '../context.ts'
import { liveSessionFolders } from '../launch/session-folder.ts'

const form = z.object({
  name: z.string().optional(),
  /** The process of Claude Code. */
  claude: z.int(),
  since: z.number(),
  hook: z.object({ event: z.string(), at: z.number() }).optional(),
  paths: z.array(z.object({ path: z.enum(['socket', 'channel', 'rewake']), state: z.enum(['works', 'untried', 'fails']), at: z.number().optional() })),
  waiting: z.int(),
})

/** How a live session fares, as its MCP server wrote it down. */
export type SessionVitals = z.infer<typeof form>

const file = (folder: string) => join(folder, 'vitals.json')

/** Writes down how the session of this MCP server fares. */
export function vitalsWriter(folder: string, { clock }: Context): (vitals: Vitals) => void {
  const since = clock.now()
  return (vitals) => {
    try {
      writeFileSync(file(folder), JSON.stringify({ claude: process.ppid, since, ...vitals } satisfies SessionVitals), { mode: 0o600 })
    } catch {
      // The session's folder goes when the session ends.
    }
  }
}

/** The live sessions of this user on this machine. */
export function liveSessions(home: string): SessionVitals[] {
  return liveSessionFolders(home).flatMap((folder) => {
    try {
      return [form.parse(JSON.parse(readFileSync(file(folder), 'utf8')))]
    } catch {
      // Its MCP server has not come so far.
      return []
    }
  })
}
