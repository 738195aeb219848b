import { existsSync, realpathSync } from 'node:fs'
import type { Context } from '../context.ts'
import { atLeast, claudeVersion } from '../launch/claude-version.ts'
import { allOnPath } from '../launch/find-claude.ts'
import { needsRewake, waysInto } from '../launch/ways.ts'
import { fail, pass, warn, type Check } from './check.ts'

const oldestNode = '22.12'
const installClaude = 'run: npm install -g @anthropic-ai/claude-code'

/** This Node. */
export function checkNode(version: string): Check {
  return atLeast(version, oldestNode) ? pass('node', version) : fail('node', `${version} is too old`, `install Node ${oldestNode} or newer`)
}

/** Claude Code: whether it is there, its version, and what that version can do. */
export async function checkClaude({ env }: Context): Promise<Check[]> {
  const found = distinct(allOnPath(env['PATH'], process.platform === 'win32' ? ['claude.exe', 'claude.cmd'] : ['claude']))
  const [first, ...others] = found
  if (first === undefined) return [fail('claude', 'not on the PATH', installClaude)]
  const version = await claudeVersion(first, env)
  if (version === undefined) return [fail('claude', `${first} does not tell its version`, `${installClaude} (again)`)]
  const several =
    others.length === 0 ? [] : [warn('claude installs', `also ${others.join(', ')}`, `the first on the PATH is used (${first}); remove the others`)]
  return [pass('claude', `${version}, ${first}`), ...several, ...checkWays(version, env), ...checkOwnInbox(env)]
}

/** Whether there is one claudemesh only. */
export function checkOwnInstalls({ env, script, version }: Context): Check {
  const others = distinct(allOnPath(env['PATH'], process.platform === 'win32' ? ['claudemesh.cmd'] : ['claudemesh'])).filter(
    (path) => realpathSync(path) !== script,
  )
  if (others.length === 0) return pass('claudemesh', `${version}, ${script}`)
  return warn(
    'claudemesh',
    `${version}, ${script}; also ${others.join(', ')}`,
    'keep one: npm uninstall -g claudemesh with the npm of the other, then claudemesh install',
  )
}

/** Each way by which messages may come before the model, in the order in which they are tried, and why one is closed here. */
function checkWays(version: string, env: Context['env']): Check[] {
  const ways = waysInto({ version, env, claudeArgs: [] })
  const instead = needsRewake(ways) ? 'a hook waits instead to wake sessions that are launched' : 'messages wait for the next prompt or check_messages'
  return ways.flatMap(({ way, not, remedy }): Check[] => {
    if (way === 'hook context' || way === 'check_messages') return []
    if (not === undefined) return [pass(way, says[way])]
    return [remedy === undefined ? pass(way, not) : warn(way, `${not}: ${instead}`, remedy)]
  })
}

const says = { inbox: 'every session has one; messages wake it', channel: 'asked for', 'wake hook': 'waits in each launched session' } as const

/** Run inside a session of Claude Code: whether that still takes messages. */
function checkOwnInbox(env: Context['env']): Check[] {
  const own = env['CLAUDE_CODE_MESSAGING_SOCKET']
  if (!own || existsSync(own)) return []
  return [warn('own inbox', `this session’s, ${own}, is gone: messages wait for the next prompt or check_messages`, 'start the session again')]
}

/** One path per file behind it. */
function distinct(paths: readonly string[]): string[] {
  const seen = new Map<string, string>()
  for (const path of paths) if (!seen.has(realpathSync(path))) seen.set(realpathSync(path), path)
  return [...seen.values()]
}
