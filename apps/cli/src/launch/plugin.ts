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
  /** The card of a launched session, or what prints that of any other. */
  readonly card?: Card | CardCommand
  readonly wake?: Wake
}

/** What prints the card of a session: the Node executable, and the file in which the MCP server keeps it. */
interface Card {
  readonly node: string
  readonly path: string
}

/** What waits to wake the session where nothing better does: the program, and the socket of the MCP server at which it waits. */
interface Wake {
  readonly node: string
  readonly script: string
  readonly socket: string
  /** Without a terminal Claude Code does not begin before the hooks of its start have ended: it waits from the first turn on. */
  readonly terminal: boolean
}

/** What prints who a session is that no launch made: this CLI, with what it needs to find its files. */
export interface CardCommand {
  readonly command: string
  readonly args: readonly string[]
}

/** The hook that tells a model again who its session is; as a `CardCommand` ends in `card`, or in `card --home DIR`, it is known as ours. */
export const forgottenHook = ({ command, args }: CardCommand) => ({ matcher: 'resume|clear|compact', hooks: [{ type: 'command', command, args, timeout: 5 }] })

/** The plugin that carries the mesh into Claude Code: its MCP server, the hooks that keep its status true and the guide as a skill, by path. */
export function pluginFiles({ command, args, version, card, wake }: PluginOptions): Record<string, string> {
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
    'hooks/hooks.json': json({ hooks: withWake(withCard(hooksFor('plugin:claudemesh:mesh'), card), wake) }),
    'skills/claudemesh/SKILL.md': skill(),
  }
}

/** The plugin for those who add the repository as a marketplace: as in a launched session, with the installed command. */
export const shippedFiles = (version: string): Record<string, string> =>
  pluginFiles({ command: 'claudemesh', args: ['mcp'], version, card: { command: 'claudemesh', args: ['card'] } })

type Hooks = Record<string, { matcher?: string; hooks: object[] }[]>

const withCard = (hooks: Hooks, card: Card | CardCommand | undefined): Hooks =>
  card ? { ...hooks, SessionStart: ['path' in card ? cardHook(card) : forgottenHook(card)] } : hooks

/** It begins to wait with the session, and again when a turn has ended, well or not. */
function withWake(hooks: Hooks, wake: Wake | undefined): Hooks {
  if (!wake) return hooks
  const events = [...(wake.terminal ? ['SessionStart'] : []), 'Stop', 'StopFailure']
  const waiting: Hooks = Object.fromEntries(events.map((event) => [event, [...(hooks[event] ?? []), { hooks: [wakeHook(wake)] }]]))
  return { ...hooks, ...waiting }
}

// Nobody waits for it; it may wait for a day.
const wakeHook = ({ node, script, socket }: Wake) => ({ type: 'command', command: node, args: [script, socket], asyncRewake: true, timeout: 86_400 })

/** The hooks by event, for the MCP server that Claude Code knows under this name. */
export function hooksFor(server: string): Hooks {
  // A call of a tool that the server does not list: the model cannot see it, a hook can call it, and no process is started.
  const hook = { type: 'mcp_tool', server, tool: hookTool, timeout: 5 }
  return Object.fromEntries(hookEvents.map((event) => [event, [{ hooks: [{ ...hook, input: inputOf(event) }] }]]))
}

/** Beside the handover socket: who the session is, for a model that has forgotten. */
export const cardFile = 'card.txt'
/** Beside it: where a hook waits to wake the session. */
export const wakeFile = 'wake.sock'

// The one hook that needs a process: at that time Claude Code does not call tools of servers.
const cardHook = ({ node, path }: Card) =>
  forgottenHook({ command: node, args: ['-e', "try{process.stdout.write(require('node:fs').readFileSync(process.argv[1],'utf8'))}catch{}", path] })

// Tools of a subagent call these as well, of whose conversation the session's model sees nothing.
const agent = '${agent_id}'
const inputs: Record<string, object> = {
  UserPromptSubmit: { prompt: '${prompt}', transcript: '${transcript_path}' },
  PreToolUse: { agent },
  PostToolUse: { agent, transcript: '${transcript_path}' },
  PostToolUseFailure: { agent },
  PermissionRequest: { agent },
  Stop: { transcript: '${transcript_path}' },
  Notification: { notification_type: '${notification_type}' },
}

const inputOf = (event: string) => ({ event, ...inputs[event] })

const json = (value: unknown) => `${JSON.stringify(value, null, 2)}\n`
