import { readFileSync } from 'node:fs'
import { z } from 'zod'
import type { Context } from '../context.ts'

const entry = z.object({ messagingSocketPath: z.string().min(1) })

/** The inbox of the Claude Code that started this process: from the environment, or where that is withheld from MCP servers, from its entry in the registry of sessions. */
export function findInbox(env: Context['env'], registry: string): { path: string; token?: string } | undefined {
  const path = env['CLAUDE_CODE_MESSAGING_SOCKET']
  const token = env['CLAUDE_CODE_MESSAGING_TOKEN']
  if (path) return { path, ...(token ? { token } : {}) }
  try {
    return { path: entry.parse(JSON.parse(readFileSync(registry, 'utf8'))).messagingSocketPath }
  } catch {
    return undefined
  }
}
