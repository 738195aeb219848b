import type { Context } from '../context.ts'
import { loadConfig, type MeshEntry } from '../home/config.ts'
import { pickMesh } from '../home/meshes.ts'
import { defaultName } from '../local/local-mesh.ts'
import type { Output } from '../output.ts'
import { joinMesh, membershipOf } from '../session/join-mesh.ts'
import { parsePersona, type Persona } from './persona.ts'
import { questionsFor, type LaunchFlags } from './questions.ts'

interface Settled {
  readonly entry: MeshEntry
  readonly persona: Persona
}

/** Who the session is and in which mesh, from the flags and, where they leave something open, from answers; undefined when the user does not go on. */
export async function settle(context: Context, output: Output, flags: LaunchFlags, terminal: boolean): Promise<Settled | undefined> {
  // What is wrong with a flag is said before anything is asked.
  parsePersona(flags, defaultName())
  const joined = flags.join === undefined ? undefined : await joinOnce(context, flags.join, flags.name ?? defaultName())
  const config = loadConfig(context.home)
  const askable = terminal && !flags.yes
  if (!joined && (flags.mesh !== undefined || flags.yes || (!askable && config.meshes.length === 0))) pickMesh(config, flags.mesh)
  const questions = questionsFor(flags, { meshes: config.meshes.length, terminal })
  // A start by flags alone loads no prompts.
  const wizard = questions.length > 0 ? await import('./wizard.ts') : undefined
  const answers = await wizard?.askOpen(context, questions)
  if (wizard && !answers) return undefined
  const given = { ...flags, ...answers }
  const entry = joined ?? pickMesh(loadConfig(context.home), given.mesh)
  const persona = parsePersona(given, entry.name)
  // Where questions were answered the screen says all of this already.
  if (terminal && !flags.quiet && questions.every((question) => question === 'consent')) banner(output, entry, persona)
  if (!wizard) return { entry, persona }
  if (!flags.quiet) output.line(...wizard.autonomousMode)
  return (await wizard.consents(context)) ? { entry, persona } : undefined
}

/** A script that launches again and again joins once. */
async function joinOnce(context: Context, link: string, name: string): Promise<MeshEntry> {
  return (await membershipOf(context, link)) ?? joinMesh(context, link, name)
}

function banner(output: Output, entry: MeshEntry, persona: Persona): void {
  const groups = persona.groups.map((group) => ` @${group.name}${group.role ? `:${group.role}` : ''}`).join('')
  output.line(`${output.style('bold', persona.name)} in ${output.style('bold', entry.slug)}${persona.role ? ` · ${persona.role}` : ''}${groups}`, '')
}
