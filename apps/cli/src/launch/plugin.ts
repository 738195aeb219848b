import { hookTool } from '@claudemesh/mcp'
import { skill } from '../claude/guide.ts'

/** The rule that allows every tool of the mesh's server and nothing else. */
export const serverToolPrefix = 'mcp__plugin_claudemesh_mesh'

// SessionStart comes before the server is connected, SessionEnd after it is gone: neither can call it.
const hookEvents = ['UserPromptSubmit', 'PreToolUse', 'PostToolUse', 'PostToolUseFailure', 'PermissionRequest', 'Notification', 'Stop', 'StopFailure'] as const

export interface PluginOptions {
  /** How the MCP server is started. */
  readonly command: string
  readonly args: readonly string[]
  readonly version: string
  readonly card?: Card
}

/** What prints the card of a session: the Node executable, and the file in which the MCP server keeps it. */
interface Card {
  readonly node: string
  readonly path: string
}

/** The plugin that carries the mesh into Claude Code: its MCP server, the hooks that keep its status true and the guide as a skill, by path. */
export function pluginFiles({ command, args, version, card }: PluginOptions): Record<string, string> {
  const manifest = {
    name: 'claudemesh',
    version,
    description: 'Encrypted messages between Claude Code sessions.',
    author: { name: 'claudemesh' },
    license: 'MIT',
  }
  // Without alwaysLoad the model would only see the tools' names and would have to search for them.
  const mesh = { command, args, alwaysLoad: true }
  return {
    '.claude-plugin/plugin.json': json(manifest),
    '.mcp.json': json({ mcpServers: { mesh } }),
    'hooks/hooks.json': json({ hooks: { ...hooksFor('plugin:claudemesh:mesh'), ...(card ? { SessionStart: [cardHook(card)] } : {}) } }),
    'skills/claudemesh/SKILL.md': skill(),
  }
}

/** The hooks by event, for the MCP server that Claude Code knows under this name. */
export function hooksFor(server: string): Record<string, { hooks: object[] }[]> {
  // A call of a tool that the server does not list: the model cannot see it, a hook can call it, and no process is started.
  const hook = { type: 'mcp_tool', server, tool: hookTool, timeout: 5 }
  return Object.fromEntries(hookEvents.map((event) => [event, [{ hooks: [{ ...hook, input: inputOf(event) }] }]]))
}

/** Beside the handover socket: who the session is, for a model that has forgotten. */
export const cardFile = 'card.txt'

// The one hook that needs a process: at that time Claude Code does not call tools of servers.
const cardHook = ({ node, path }: Card) => ({
  matcher: 'resume|clear|compact',
  hooks: [
    {
      type: 'command',
      command: node,
      args: ['-e', "try{process.stdout.write(require('node:fs').readFileSync(process.argv[1],'utf8'))}catch{}", path],
      timeout: 5,
    },
  ],
})

const inputs: Record<string, object> = {
  UserPromptSubmit: { prompt: '${prompt}', transcript: '${transcript_path}' },
  PostToolUse: { transcript: '${transcript_path}' },
  Stop: { transcript: '${transcript_path}' },
  Notification: { notification_type: '${notification_type}' },
}

const inputOf = (event: string) => ({ event, ...inputs[event] })

const json = (value: unknown) => `${JSON.stringify(value, null, 2)}\n`
