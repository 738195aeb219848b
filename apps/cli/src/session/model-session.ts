import type { Mesh } from '@claudemesh/client'
import { fromB64u, ready, sessionKey } from '@claudemesh/crypto'
import type { Budget, Ledger } from '@claudemesh/mcp'
import type { MessageId } from '@claudemesh/protocol'
import type { Context } from '../context.ts'
import { loadBudget } from '../home/budget.ts'
import { loadConfig } from '../home/config.ts'
import { pickMesh } from '../home/meshes.ts'
import { fetchHandover, type Handover } from '../launch/handover.ts'
import { parsePersona, type Persona } from '../launch/persona.ts'
import { connectMesh } from './connect.ts'
import type { McpFlags } from '../commands/mcp.ts'

/** The mesh of a session, and where it is recorded what became of its messages. */
export interface ModelSession {
  readonly mesh: Mesh
  /** Only for a session that `launch` made. */
  readonly ledger?: Ledger
  readonly budget: Budget
  /** Patterns of state keys whose changes wake it. */
  readonly watch: readonly string[]
}

/** The session of an MCP server: the one `launch` made, or under a plain start of Claude Code one of its own. */
export async function connectModel(context: Context, flags: McpFlags, { persist, showsMail } = { persist: true, showsMail: true }): Promise<ModelSession> {
  if (flags.handover === undefined) {
    const entry = pickMesh(loadConfig(context.home), flags.mesh ?? context.env['CLAUDEMESH_MESH'])
    const budget = loadBudget(context.home, entry.slug)
    return { mesh: await connectMesh(context, entry, parsePersona(flags, entry.name), { persist, showsMail }), budget, watch: flags.watch ?? [] }
  }
  const { handover, record, done } = await fetchHandover(flags.handover)
  await ready()
  const session = { key: sessionKey(fromB64u(handover.seed, 32)), incarnation: handover.incarnation, id: handover.sessionId }
  const { shown, offered, transcript } = handover.kept
  const budget = loadBudget(handover.home, handover.mesh.slug)
  const extras = { session, persist, showsMail, shown: shown as MessageId[] }
  const mesh = await connectMesh({ ...context, home: handover.home }, handover.mesh, personaOf(handover), extras)
  mesh.on('surfaced', (surfaced) => record({ surfaced }))
  mesh.on('connection', ({ phase }) => phase === 'closed' && done())
  return { mesh, ledger: { offered: offered as MessageId[], transcript, record }, budget, watch: handover.watch ?? [] }
}

function personaOf(handover: Handover): Persona {
  const groups = handover.groups.map((group) => ({ name: group.name, ...(group.role === undefined ? {} : { role: group.role }) }))
  return { name: handover.name, groups, ...(handover.role === undefined ? {} : { role: handover.role }) }
}
