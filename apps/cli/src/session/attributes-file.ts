import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Mesh } from '@claudemesh/client'
import { z } from 'zod'
import type { Persona } from '../launch/persona.ts'

const form = z.object({
  name: z.string(),
  role: z.string().optional(),
  groups: z.array(z.object({ name: z.string(), role: z.string().optional() })),
  summary: z.string().optional(),
})

const file = (folder: string) => join(folder, 'attributes.json')

/** Who the session was when an earlier MCP server of it ended: with the groups it joined and its summary. */
export function loadAttributes(folder: string): (Persona & { readonly summary?: string }) | undefined {
  try {
    const { name, role, groups, summary } = form.parse(JSON.parse(readFileSync(file(folder), 'utf8')))
    return {
      name,
      groups: groups.map((group) => ({ name: group.name, ...(group.role === undefined ? {} : { role: group.role }) })),
      ...(role === undefined ? {} : { role }),
      ...(summary === undefined ? {} : { summary }),
    }
  } catch {
    // The first server of the session.
    return undefined
  }
}

/** Keeps who the session is, at each change. */
export function keepAttributes(mesh: Mesh, folder: string): void {
  let kept = ''
  const keep = () => {
    const { name, role, groups, summary } = mesh.me
    const text = JSON.stringify({ name, role, groups, summary })
    if (text === kept) return
    kept = text
    try {
      writeFileSync(file(folder), text, { mode: 0o600 })
    } catch {
      // The session's folder goes when the session ends.
    }
  }
  keep()
  mesh.on('me', keep)
}
