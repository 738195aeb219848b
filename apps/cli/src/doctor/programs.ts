import { existsSync, realpathSync } from 'node:fs'
import type { Context } from '../context.ts'
import { atLeast, claudeVersion, inboxSince } from '../launch/claude-version.ts'
import { allOnPath } from '../launch/find-claude.ts'
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
  return [pass('claude', `${version}, ${first}`), ...several, inboxOf(version, env), channelOf(env)]
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

function inboxOf(version: string, env: Context['env']): Check {
  const later = 'messages wait for the next prompt or check_messages'
  if (!atLeast(version, inboxSince)) return warn('inbox', `Claude Code before ${inboxSince} has none: ${later}`, installClaude)
  if (env['CLAUDE_CODE_HARBOR_KITE'] === '0') return warn('inbox', `turned off by CLAUDE_CODE_HARBOR_KITE=0: ${later}`, 'unset that variable')
  if (env['CLAUDE_CODE_MCP_ALLOWLIST_ENV']) {
    return warn('inbox', `hidden from MCP servers by CLAUDE_CODE_MCP_ALLOWLIST_ENV: ${later}`, 'unset that variable')
  }
  const own = env['CLAUDE_CODE_MESSAGING_SOCKET']
  if (own && !existsSync(own)) return warn('inbox', `this session’s, ${own}, is gone: ${later}`, 'start the session again')
  return pass('inbox', 'every session has one; messages wake it')
}

function channelOf(env: Context['env']): Check {
  const off = ['CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC', 'DISABLE_TELEMETRY', 'DO_NOT_TRACK', 'DISABLE_GROWTHBOOK'].find((name) => env[name])
  return pass('channel', off ? `off by ${off}; not needed, the inbox is used` : 'not needed, the inbox is used')
}

/** One path per file behind it. */
function distinct(paths: readonly string[]): string[] {
  const seen = new Map<string, string>()
  for (const path of paths) if (!seen.has(realpathSync(path))) seen.set(realpathSync(path), path)
  return [...seen.values()]
}
