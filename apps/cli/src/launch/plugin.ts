import { hookTool } from '@claudemesh/mcp'

/** The rule that allows every tool of the mesh's server and nothing else. */
export const serverToolPrefix = 'mcp__plugin_claudemesh_mesh'
const server = 'plugin:claudemesh:mesh'

// SessionStart comes before the server is connected, SessionEnd after it is gone: neither can call it.
const hookEvents = ['UserPromptSubmit', 'PreToolUse', 'PostToolUse', 'PostToolUseFailure', 'PermissionRequest', 'Notification', 'Stop', 'StopFailure'] as const

/** The plugin that carries the mesh into one session: its MCP server and the hooks that keep its status true, by path inside the session folder. */
export function pluginFiles(options: { node: string; script: string; version: string; handover: string }): Record<string, string> {
  const manifest = { name: 'claudemesh', version: options.version, description: 'Encrypted messages between Claude Code sessions.' }
  const mesh = {
    command: options.node,
    args: [options.script, 'mcp', '--handover', options.handover],
    // Without this the model would only see the tools' names and would have to search for them.
    alwaysLoad: true,
  }
  return {
    'plugin/.claude-plugin/plugin.json': json(manifest),
    'plugin/.mcp.json': json({ mcpServers: { mesh } }),
    'plugin/hooks/hooks.json': json({ hooks: Object.fromEntries(hookEvents.map((event) => [event, [{ hooks: [{ ...hook, input: inputOf(event) }] }]])) }),
  }
}

// A call of a tool that the server does not list: the model cannot see it, a hook can call it, and no process is started.
const hook = { type: 'mcp_tool', server, tool: hookTool, timeout: 5 }

const inputOf = (event: string) => ({ event, ...(event === 'Notification' ? { notification_type: '${notification_type}' } : {}) })

const json = (value: unknown) => `${JSON.stringify(value, null, 2)}\n`
