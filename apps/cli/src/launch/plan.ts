import { dirname, join } from 'node:path'
import { identityCard } from '@claudemesh/mcp'
import { claudeEnvironment, sessionMark } from './environment.ts'
import type { Persona } from './persona.ts'
import { cardFile, serverToolPrefix, pluginFiles, wakeFile } from './plugin.ts'
import { asksChannel, needsRewake, prints, waysInto } from './ways.ts'

export interface LaunchRequest {
  /** Who the session is among its peers. */
  readonly persona: Persona
  /** What stands after `--`. */
  readonly claudeArgs: readonly string[]
  readonly env: Readonly<Record<string, string | undefined>>
  /** The session's own 0700 folder. */
  readonly folder: string
  /** How this CLI is started: the Node executable and the script. */
  readonly node: string
  readonly script: string
  readonly version: string
  /** What its `--version` says, where it says anything. */
  readonly claudeVersion: string | undefined
  /** Where the MCP server fetches the session key. */
  readonly handover: string
}

export interface LaunchPlan {
  readonly args: readonly string[]
  readonly env: Readonly<Record<string, string>>
  /** Contents by path inside the session folder. */
  readonly files: Readonly<Record<string, string>>
}

/** How Claude Code is started for a session: a pure function, so that what a launch does can be read in a table. */
export function plan(request: LaunchRequest): LaunchPlan {
  // A server that `install` registered stands by where it sees the mark: the session has its own.
  const env = { ...claudeEnvironment(request.env), [sessionMark]: request.handover }
  return { args: claudeArgs(request), env, files: filesOf(request) }
}

function filesOf(request: LaunchRequest): Record<string, string> {
  const { node, script, version, handover } = request
  const folder = dirname(handover)
  const rewake = needsRewake(waysInto({ version: request.claudeVersion, env: request.env, claudeArgs: request.claudeArgs }))
  const ways = [...(asksChannel(request.claudeArgs) ? ['--channel'] : []), ...(rewake ? ['--wake', join(folder, wakeFile)] : [])]
  const files = pluginFiles({
    command: node,
    args: [script, 'mcp', '--handover', handover, ...ways],
    version,
    card: { node, path: join(folder, cardFile) },
    ...(rewake ? { wake: { node, script: wakeScript(script), socket: join(folder, wakeFile), terminal: !prints(request.claudeArgs) } } : {}),
  })
  const plugin = Object.fromEntries(Object.entries(files).map(([path, text]) => [join('plugin', path), text]))
  // A resumed session is told who it is before its server is there to say so.
  return { ...plugin, [cardFile]: identityCard(request.persona) }
}

/** The hook that waits, beside the program: run from the sources it is one of them. */
const wakeScript = (script: string) => join(dirname(script), script.endsWith('.ts') ? 'wake.ts' : 'wake.js')

/**
 * Ours first, the user's after them and untouched. `--allowedTools` adds to the user's own list (Claude Code unites repeated lists), and is written
 * with `=` because it would otherwise swallow a prompt that follows. The mesh's tools are all that is allowed: permissions are never skipped here.
 */
function claudeArgs(request: LaunchRequest): string[] {
  return [
    '--plugin-dir',
    join(request.folder, 'plugin'),
    `--allowedTools=${serverToolPrefix}`,
    '-n',
    request.persona.name,
    ...withoutRepeats(request.claudeArgs),
  ]
}

/** A `--dangerously-…` flag that stands twice is passed once. Values of other flags stay where they are. */
function withoutRepeats(args: readonly string[]): string[] {
  const seen = new Set<string>()
  return args.filter((arg) => {
    if (!/^--dangerously-[a-z-]+$/.test(arg) || takesEntries.has(arg)) return true
    if (seen.has(arg)) return false
    seen.add(arg)
    return true
  })
}

const takesEntries = new Set(['--dangerously-load-development-channels'])
