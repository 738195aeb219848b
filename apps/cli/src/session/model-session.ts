import type { Mesh } from '@claudemesh/client'
import { fromB64u, ready, sessionKey } from '@claudemesh/crypto'
import type { Context } from '../context.ts'
import { loadConfig } from '../home/config.ts'
import { pickMesh } from '../home/meshes.ts'
import { fetchHandover } from '../launch/handover.ts'
import { parsePersona, type Persona } from '../launch/persona.ts'
import { connectMesh } from './connect.ts'
import type { McpFlags } from '../commands/mcp.ts'

/** The session of an MCP server: the one `launch` made, or under a plain start of Claude Code one of its own. */
export async function connectModel(context: Context, flags: McpFlags, { persist } = { persist: true }): Promise<Mesh> {
  if (flags.handover === undefined) {
    const entry = pickMesh(loadConfig(context.home), flags.mesh ?? context.env['CLAUDEMESH_MESH'])
    return connectMesh(context, entry, parsePersona(flags, entry.name), { persist })
  }
  const handover = await fetchHandover(flags.handover)
  await ready()
  const session = { key: sessionKey(fromB64u(handover.seed, 32)), incarnation: handover.incarnation, id: handover.sessionId }
  return connectMesh({ ...context, home: handover.home }, handover.mesh, personaOf(handover), { session, persist })
}

function personaOf(handover: Awaited<ReturnType<typeof fetchHandover>>): Persona {
  const groups = handover.groups.map((group) => ({ name: group.name, ...(group.role === undefined ? {} : { role: group.role }) }))
  return { name: handover.name, groups, ...(handover.role === undefined ? {} : { role: handover.role }) }
}
