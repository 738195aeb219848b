import { randomBytes, randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { createInterface } from 'node:readline/promises'
import { toB64u } from '@claudemesh/crypto'
import type { Context } from '../context.ts'
import { loadConfig, type MeshEntry } from '../home/config.ts'
import { pickMesh } from '../home/meshes.ts'
import { invocation } from '../invocation.ts'
import { farewell } from '../launch/farewell.ts'
import { findClaude } from '../launch/find-claude.ts'
import { HandoverServer } from '../launch/handover.ts'
import { parsePersona, type Persona } from '../launch/persona.ts'
import { plan } from '../launch/plan.ts'
import { runClaude } from '../launch/run-claude.ts'
import { SessionFolder, sweepSessionFolders } from '../launch/session-folder.ts'
import { defaultName } from '../local/local-mesh.ts'
import type { Output } from '../output.ts'
import { reach } from '../session/reach.ts'
import { joinMesh, membershipOf } from '../session/join-mesh.ts'

export interface LaunchFlags {
  readonly name?: string
  readonly role?: string
  readonly groups?: string
  readonly mesh?: string
  readonly join?: string
  readonly quiet?: boolean
  readonly yes?: boolean
}

/** Starts Claude Code as a session of the mesh and resolves with its exit code. The session's key lives in this process alone. */
export async function launch(context: Context, output: Output, flags: LaunchFlags, claudeArgs: readonly string[]): Promise<number> {
  const claude = findClaude(context.env['PATH'])
  const entry = await meshOf(context, flags)
  const persona = parsePersona(flags, entry.name)
  const terminal = context.stdin.isTTY === true && output.isTerminal
  if (terminal && !flags.quiet) banner(output, entry, persona)
  if (terminal && !flags.yes && !(await agreed(context, output))) return 0
  await warnOfSilence(context, output, entry)
  sweepSessionFolders(context.home, context.clock.now())
  using folder = SessionFolder.make(context.home)
  const handover = join(folder.path, 'key.sock')
  const { node, script, version, env, home } = context
  const start = plan({ name: persona.name, claudeArgs, env, folder: folder.path, node, script, version, handover })
  folder.write(start.files)
  const session = { seed: toB64u(randomBytes(32)), sessionId: randomUUID(), home, mesh: entry, ...persona, groups: [...persona.groups] }
  await using keys = await HandoverServer.listen(handover, session)
  void keys
  const code = await runClaude(claude, start, { cwd: context.cwd, terminal })
  await farewell(context, handover)
  return code
}

async function meshOf(context: Context, flags: LaunchFlags): Promise<MeshEntry> {
  // A script that launches again and again joins once.
  if (flags.join !== undefined) return (await membershipOf(context, flags.join)) ?? joinMesh(context, flags.join, flags.name ?? defaultName())
  return pickMesh(loadConfig(context.home), flags.mesh)
}

/** A session without its broker is an ordinary Claude Code until the broker comes: worth a line, no reason to refuse. */
async function warnOfSilence(context: Context, output: Output, entry: MeshEntry): Promise<void> {
  const { reachable, reason } = await reach(entry)
  if (reachable) return
  const remedy = entry.data === undefined ? 'ask who runs it' : `start it: ${invocation(context)} up --detach`
  output.note(`claudemesh: the broker of ${entry.slug} is away (${reason ?? 'no answer'}); the session joins when it is back; ${remedy}`)
}

function banner(output: Output, entry: MeshEntry, persona: Persona): void {
  const groups = persona.groups.map((group) => ` @${group.name}${group.role ? `:${group.role}` : ''}`).join('')
  output.line(`${output.style('bold', persona.name)} in ${output.style('bold', entry.slug)}${persona.role ? ` · ${persona.role}` : ''}${groups}`, '')
}

async function agreed(context: Context, output: Output): Promise<boolean> {
  output.line('Claude will send and receive peer messages without asking you first.')
  output.line('Peers exchange text only: what a message asks for still needs the permissions you give.')
  const prompt = createInterface({ input: context.stdin, output: context.stdout })
  try {
    return !/^n/i.test((await prompt.question('Continue? [Y/n] ')).trim())
  } finally {
    prompt.close()
  }
}
