import { limits, parseGroupList, parseLabel, parseName } from '@claudemesh/protocol'
import type { Context } from '../context.ts'
import { Failure } from '../failure.ts'
import { loadConfig, type MeshEntry } from '../home/config.ts'
import { defaultName } from '../local/local-mesh.ts'
import { onlineIn } from '../session/online.ts'
import { askChoice, askConsent, askLine } from './ask.ts'
import type { LaunchFlags, Question } from './questions.ts'

type Answers = Pick<LaunchFlags, 'name' | 'mesh' | 'role' | 'groups'>

/** What a session may do, said before it is started. */
export const autonomousMode = [
  'Autonomous mode',
  'Claude will send and receive peer messages without',
  'asking you first. Peers exchange text only — no file',
  'access, no tool calls, no code execution.',
]

/** Asks for what the flags left open, one line each. Undefined when the user does not want to start a mesh. */
export async function askOpen(context: Context, questions: readonly Question[]): Promise<Answers | undefined> {
  const asks = new Set(questions)
  if (asks.has('start a mesh') && !(await startMesh(context))) return undefined
  const { meshes } = loadConfig(context.home)
  // Counted while the first answer is typed.
  const online = asks.has('mesh') ? meshes.map((entry) => onlineIn(context, entry)) : []
  const answers: { -readonly [K in keyof Answers]: Answers[K] } = {}
  if (asks.has('name')) answers.name = await askLine(context, 'Name:', { initial: meshes[0]?.name ?? defaultName(), check: parseName })
  if (asks.has('mesh')) answers.mesh = await chooseMesh(context, meshes, await Promise.all(online))
  const checkRole = (text: string) => parseLabel(text, 'role', limits.roleChars)
  if (asks.has('role')) answers.role = await askLine(context, 'Role (optional):', { check: checkRole })
  if (asks.has('groups')) answers.groups = await askLine(context, 'Groups (optional):', { check: parseGroupList })
  return answers
}

/** Whether the user wants the session to start. */
export function consents(context: Context): Promise<boolean> {
  return askConsent(context, 'Continue?')
}

async function startMesh(context: Context): Promise<boolean> {
  if (!(await askConsent(context, 'You are in no mesh yet. Start one on this machine?'))) return false
  const { startDetached } = await import('../local/detached.ts')
  try {
    await startDetached(context, {})
  } catch (error) {
    if (!(error instanceof Failure) || error.code !== 'port_taken') throw error
    // Any port will do: the membership remembers it.
    await startDetached(context, { port: 0 })
  }
  return true
}

async function chooseMesh(context: Context, meshes: readonly MeshEntry[], online: readonly string[]): Promise<string> {
  const choices = meshes.map((entry, i) => ({ name: `${entry.slug} (${online[i]})`, value: entry.slug }))
  const [only, second] = choices
  if (!only || second) return askChoice(context, 'Mesh:', choices)
  context.stdout.write(`Mesh: ${only.name}\n`)
  return only.value
}
