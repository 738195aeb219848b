type Env = Readonly<Record<string, string | undefined>>

// Settings of the user keep their names' first words; all else under CLAUDE_CODE_ describes the session that exported it.
const settings =
  /^CLAUDE_CODE_((USE|DISABLE|ENABLE|SKIP|MAX|API|CLIENT|OAUTH|PROXY|SUBPROCESS|MCP|SHELL|CERT|AUTO|GIT)_\w+|SHELL|ACCESSIBILITY|SIMPLE|IDLE_\w+)$/
const ofSession = /^(CLAUDECODE|CLAUDE_PID|CLAUDE_EFFORT|CLAUDE_PROJECT_DIR|CLAUDE_PLUGIN_\w+|CLAUDE_ENV_FILE|AI_AGENT)$/
// pnpm's marks of the script it runs would send a nested `pnpm claudemesh` to the wrong folder.
const ofPnpm = /^(INIT_CWD|npm_lifecycle_\w+|npm_command|npm_package_\w+|npm_execpath)$/
// A secret with no use after the join.
const invite = 'CLAUDEMESH_INVITE'

/** Stands in the environment of a launched session. */
export const sessionMark = 'CLAUDEMESH_SESSION'

/** The environment for a new Claude Code: this one, without what a Claude Code around us told its children about itself. */
export function claudeEnvironment(env: Env): Record<string, string> {
  const nested = env['CLAUDECODE'] !== undefined || env['CLAUDE_CODE_CHILD_SESSION'] !== undefined
  const drops = (name: string) => ofPnpm.test(name) || name === invite || (nested && isParents(name))
  return Object.fromEntries(Object.entries(env).filter((entry): entry is [string, string] => entry[1] !== undefined && !drops(entry[0])))
}

function isParents(name: string): boolean {
  return ofSession.test(name) || (name.startsWith('CLAUDE_CODE_') && !settings.test(name))
}
