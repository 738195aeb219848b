import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'

const entry = z.object({ sessionId: z.uuid() })

/** Where the Claude Code of this registry file writes its conversation, as far as that can be known without a hook: under the folder of some project. */
export function findTranscript(registry: string, projects: string): string | undefined {
  try {
    const { sessionId } = entry.parse(JSON.parse(readFileSync(registry, 'utf8')))
    const paths = readdirSync(projects).map((project) => join(projects, project, `${sessionId}.jsonl`))
    return paths.find((path) => existsSync(path))
  } catch {
    // It has not written it yet, or keeps none.
    return undefined
  }
}
