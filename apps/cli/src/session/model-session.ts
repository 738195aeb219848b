import type { Mesh } from '@claudemesh/client'
import { fromB64u, ready, sessionKey } from '@claudemesh/crypto'
import type { LocalFiles } from '@claudemesh/client/node'
import type { Budget, Ledger } from '@claudemesh/mcp'
import type { MessageId } from '@claudemesh/protocol'
import type { Context } from '../context.ts'
import { loadBudget } from '../home/budget.ts'
import { loadConfig } from '../home/config.ts'
import { pickMesh } from '../home/meshes.ts'
import { fetchHandover, type Handover } from '../launch/handover.ts'
import { parsePersona, type Persona } from '../launch/persona.ts'
import { keepAttributes, loadAttributes } from './attributes-file.ts'
import { connectMesh, localFilesOf } from './connect.ts'
import { ledgerFile } from './ledger-file.ts'

/** Which session an MCP server serves. */
export interface SessionFlags {
  /** The socket of the launch that made the session; without it the server makes one of its own. */
  readonly handover?: string
  readonly mesh?: string
  readonly name?: string
  readonly role?: string
  readonly groups?: string
  readonly watch?: readonly string[]
}

/** The mesh of a session, and where it is recorded what became of its messages. */
export interface ModelSession {
  readonly mesh: Mesh
  /** Absent where the session has no folder. */
  readonly ledger?: Ledger
  readonly budget: Budget
  /** Patterns of state keys whose changes wake it. */
  readonly watch: readonly string[]
  /** The files of the folder it works in. */
  readonly files: LocalFiles
}

interface Options {
  readonly persist: boolean
  /** Whether mail for the member may be shown in it. */
  readonly showsMail: boolean
  /** The session's own folder, in which a successor of this server finds who the session was. */
  readonly folder?: string | undefined
}

/** The session of an MCP server: the one `launch` made, or under a plain start of Claude Code one of its own. */
export function connectModel(context: Context, flags: SessionFlags, options: Options = { persist: true, showsMail: true }): Promise<ModelSession> {
  return flags.handover === undefined ? connectPlain(context, flags, options) : connectLaunched(context, flags.handover, options)
}

/** Its key lives in this process alone: after a crash the session is another one to its peers, of the same name, groups and summary. */
async function connectPlain(context: Context, flags: SessionFlags, { persist, showsMail, folder }: Options): Promise<ModelSession> {
  const entry = pickMesh(loadConfig(context.home), flags.mesh ?? context.env['CLAUDEMESH_MESH'])
  const budget = loadBudget(context.home, entry.slug)
  const persona = earlier(folder) ?? parsePersona(flags, entry.name)
  const watch = flags.watch ?? []
  const files = localFilesOf(context)
  if (folder === undefined) return { mesh: await connectMesh(context, entry, persona, { persist, showsMail }), budget, watch, files }
  const { kept, record } = ledgerFile(folder)
  const mesh = await connectMesh(context, entry, persona, { persist, showsMail, shown: kept.shown as MessageId[] })
  mesh.on('surfaced', (surfaced) => record({ surfaced }))
  keepAttributes(mesh, folder)
  return { mesh, ledger: { offered: kept.offered as MessageId[], transcript: kept.transcript, record }, budget, watch, files }
}

async function connectLaunched(context: Context, socket: string, { persist, showsMail, folder }: Options): Promise<ModelSession> {
  const { handover, record, done } = await fetchHandover(socket)
  await ready()
  const session = { key: sessionKey(fromB64u(handover.seed, 32)), incarnation: handover.incarnation, id: handover.sessionId }
  const { shown, offered, transcript, attached = [] } = handover.kept
  const budget = loadBudget(handover.home, handover.mesh.slug)
  const extras = { session, persist, showsMail, shown: shown as MessageId[], attached }
  const mesh = await connectMesh({ ...context, home: handover.home }, handover.mesh, earlier(folder) ?? personaOf(handover), extras)
  mesh.on('surfaced', (surfaced) => record({ surfaced }))
  mesh.on('attached', (files) => record({ attached: files }))
  mesh.on('connection', ({ phase }) => phase === 'closed' && done())
  if (folder !== undefined) keepAttributes(mesh, folder)
  const files = localFilesOf({ ...context, home: handover.home })
  return { mesh, ledger: { offered: offered as MessageId[], transcript, record }, budget, watch: handover.watch ?? [], files }
}

const earlier = (folder: string | undefined) => (folder === undefined ? undefined : loadAttributes(folder))

function personaOf(handover: Handover): Persona {
  const groups = handover.groups.map((group) => ({ name: group.name, ...(group.role === undefined ? {} : { role: group.role }) }))
  return { name: handover.name, groups, ...(handover.role === undefined ? {} : { role: handover.role }) }
}
