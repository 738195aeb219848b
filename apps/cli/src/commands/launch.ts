import { randomBytes, randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { toB64u } from '@claudemesh/crypto'
import type { Context } from '../context.ts'
import { loadBudget } from '../home/budget.ts'
import type { MeshEntry } from '../home/config.ts'
import { invocation } from '../invocation.ts'
import { placeGuide } from '../home/guide-file.ts'
import { atLeast, claudeVersion, inboxSince, rewakeSince } from '../launch/claude-version.ts'
import { farewell } from '../launch/farewell.ts'
import { findClaude } from '../launch/find-claude.ts'
import { HandoverServer } from '../launch/handover.ts'
import { plan } from '../launch/plan.ts'
import type { LaunchFlags } from '../launch/questions.ts'
import { runClaude } from '../launch/run-claude.ts'
import { SessionFolder, sweepSessionFolders } from '../launch/session-folder.ts'
import { settle } from '../launch/settle.ts'
import type { Output } from '../output.ts'
import { reach } from '../session/reach.ts'

/** Starts Claude Code as a session of the mesh and resolves with its exit code. The session's key lives in this process alone. */
export async function launch(context: Context, output: Output, flags: LaunchFlags, claudeArgs: readonly string[]): Promise<number> {
  const claude = findClaude(context.env['PATH'])
  const version = claudeVersion(claude, context.env)
  const terminal = context.stdin.isTTY === true && output.isTerminal
  const settled = await settle(context, output, flags, terminal).catch(cancelled)
  if (settled === 'cancelled') return 130
  if (!settled) return 0
  const { entry, persona } = settled
  // Damaged limits are said here, where a person reads it.
  loadBudget(context.home, entry.slug)
  const claudeVersionTold = await version
  warnOfAge(output, claudeVersionTold)
  await warnOfSilence(context, output, entry)
  sweepSessionFolders(context.home, context.clock.now())
  using folder = SessionFolder.make(context.home)
  const handover = join(folder.path, 'key.sock')
  const { node, script, env, home } = context
  const start = plan({
    persona,
    claudeArgs,
    env,
    folder: folder.path,
    node,
    script,
    version: context.version,
    claudeVersion: claudeVersionTold,
    handover,
  })
  folder.write(start.files)
  placeGuide(home)
  const session = {
    seed: toB64u(randomBytes(32)),
    sessionId: randomUUID(),
    home,
    mesh: entry,
    ...persona,
    groups: [...persona.groups],
    ...(flags.watch ? { watch: [...flags.watch] } : {}),
  }
  await using keys = await HandoverServer.listen(handover, session)
  void keys
  const code = await runClaude(claude, start, { cwd: context.cwd, terminal })
  await farewell(context, handover)
  return code
}

/** An older Claude Code takes part, but nothing wakes it, or a hook that waits for it. */
function warnOfAge(output: Output, version: string | undefined): void {
  if (version === undefined || atLeast(version, inboxSince)) return
  const instead = atLeast(version, rewakeSince)
    ? 'has no inbox for messages; a hook waits to wake it'
    : 'is too old to be woken by messages; they wait for its next prompt'
  output.note(`claudemesh: Claude Code ${version} ${instead}; run: claude update`)
}

/** A session without its broker is an ordinary Claude Code until the broker comes: worth a line, no reason to refuse. */
async function warnOfSilence(context: Context, output: Output, entry: MeshEntry): Promise<void> {
  const { reachable, reason } = await reach(entry)
  if (reachable) return
  const remedy = entry.data === undefined ? 'ask who runs it' : `start it: ${invocation(context)} up --detach`
  output.note(`claudemesh: the broker of ${entry.slug} is away (${reason ?? 'no answer'}); the session joins when it is back; ${remedy}`)
}

/** Ctrl-C at a question is no failure to report. */
function cancelled(error: unknown): 'cancelled' {
  if (error instanceof Error && error.name === 'ExitPromptError') return 'cancelled'
  throw error
}
