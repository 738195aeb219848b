import type { Context } from '../context.ts'
import { atLeast, inboxSince, rewakeSince } from './claude-version.ts'

/** One way by which a message may come before the model, and why it does not work here, where that is known. */
export interface Way {
  readonly way: 'inbox' | 'channel' | 'wake hook' | 'hook context' | 'check_messages'
  readonly not?: string
  readonly remedy?: string
}

/** The ways in the order in which they are tried, as far as version, environment and arguments tell. What they cannot tell a session finds out. */
export function waysInto({ version, env, claudeArgs }: { version: string | undefined; env: Context['env']; claudeArgs: readonly string[] }): Way[] {
  const inbox = inboxOf(version, env)
  return [
    inbox,
    channelOf(env, claudeArgs),
    { way: 'wake hook', ...(inbox.not === undefined ? { not: 'not needed' } : tooOld(version, rewakeSince)) },
    { way: 'hook context' },
    { way: 'check_messages' },
  ]
}

/** Whether a hook must wait to wake the session, because nothing better does. */
export function needsRewake(ways: readonly Way[]): boolean {
  return ways.some(({ way, not }) => way === 'wake hook' && not === undefined)
}

const channelFlags = new Set(['--channels', '--dangerously-load-development-channels'])
const ourEntries = /^(plugin:claudemesh@inline|server:plugin:claudemesh:mesh)$/

/** Whether the user asked Claude Code for the channel of the mesh: both flags take all entries up to the next flag. */
export function asksChannel(claudeArgs: readonly string[]): boolean {
  let listed = false
  return claudeArgs.some((arg) => {
    const [flag = '', entry] = arg.split('=')
    if (arg.startsWith('-')) listed = channelFlags.has(flag)
    return listed && ourEntries.test(arg.startsWith('-') ? (entry ?? '') : arg)
  })
}

/** Whether the session has no terminal. */
export const prints = (claudeArgs: readonly string[]): boolean => claudeArgs.includes('-p') || claudeArgs.includes('--print')

function inboxOf(version: string | undefined, env: Context['env']): Way {
  if (version !== undefined && !atLeast(version, inboxSince))
    return { way: 'inbox', not: `Claude Code before ${inboxSince} has none`, remedy: 'run: claude update' }
  if (env['CLAUDE_CODE_HARBOR_KITE'] === '0') return { way: 'inbox', not: 'turned off by CLAUDE_CODE_HARBOR_KITE=0', remedy: 'unset that variable' }
  return { way: 'inbox' }
}

function channelOf(env: Context['env'], claudeArgs: readonly string[]): Way {
  if (!asksChannel(claudeArgs))
    return { way: 'channel', not: 'only when asked for: claudemesh launch -- --dangerously-load-development-channels plugin:claudemesh@inline' }
  if (prints(claudeArgs)) return { way: 'channel', not: 'off without a terminal' }
  const off = ['CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC', 'DISABLE_TELEMETRY', 'DO_NOT_TRACK', 'DISABLE_GROWTHBOOK'].find((name) => env[name])
  return { way: 'channel', ...(off === undefined ? {} : { not: `turned off by ${off}` }) }
}

function tooOld(version: string | undefined, since: string): { not?: string; remedy?: string } {
  return version === undefined || atLeast(version, since) ? {} : { not: `not known to work before ${since}`, remedy: 'run: claude update' }
}
