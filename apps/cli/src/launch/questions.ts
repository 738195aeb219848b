import { Failure } from '../failure.ts'

/** What the command line may leave open. */
export interface LaunchFlags {
  readonly name?: string
  readonly role?: string
  readonly groups?: string
  readonly mesh?: string
  readonly join?: string
  readonly watch?: readonly string[]
  readonly quiet?: boolean
  readonly yes?: boolean
}

export type Question = 'start a mesh' | 'name' | 'mesh' | 'role' | 'groups' | 'consent'

/**
 * What a launch has to ask, in order: a pure function. A given flag skips its question, `--yes` all of them: what may be left out stays out. Throws `usage`,
 * naming the flags, where something is missing and there is nobody to ask.
 */
export function questionsFor(flags: LaunchFlags, situation: { readonly meshes: number; readonly terminal: boolean }): Question[] {
  if (flags.yes) return []
  if (!situation.terminal) return refuseMissing(flags, situation.meshes)
  const brought = flags.mesh !== undefined || flags.join !== undefined
  const open: Record<Question, boolean> = {
    'start a mesh': situation.meshes === 0 && !brought,
    name: flags.name === undefined,
    mesh: !brought,
    role: flags.role === undefined,
    groups: flags.groups === undefined,
    consent: true,
  }
  return (Object.keys(open) as Question[]).filter((question) => open[question])
}

function refuseMissing(flags: LaunchFlags, meshes: number): never {
  const missing = [
    ...(flags.name === undefined ? ['--name <name>'] : []),
    ...(meshes > 1 && flags.mesh === undefined && flags.join === undefined ? ['--mesh <slug>'] : []),
    '--yes',
  ]
  throw new Failure('usage', `there is no terminal to ask on; add ${missing.join(' ')}`)
}
