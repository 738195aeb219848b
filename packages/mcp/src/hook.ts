import type { Mesh } from '@claudemesh/client'
import type { Status } from '@claudemesh/protocol'

/** The tool that Claude Code's hooks call; it is not listed, so that the model does not see it. */
export const hookTool = 'hook_event'

const statusAt: Record<string, Status> = {
  UserPromptSubmit: 'working',
  PreToolUse: 'working',
  PostToolUse: 'working',
  PermissionRequest: 'waiting',
  Stop: 'idle',
  StopFailure: 'idle',
}

const statusAtNotice: Record<string, Status> = { idle_prompt: 'idle', permission_prompt: 'waiting' }

/** Sets the status that an event of Claude Code implies; a do-not-disturb set by hand stays. Answers what a hook must answer: `{}`. */
export function hookEvent(mesh: Mesh, args: unknown): string {
  const { event, notification_type: notice } = (args ?? {}) as { event?: unknown; notification_type?: unknown }
  const status = event === 'Notification' ? statusAtNotice[String(notice)] : statusAt[String(event)]
  const now = mesh.me.status
  // Not awaited: the session waits for its hooks.
  if (status !== undefined && now !== 'dnd' && now !== status) mesh.setStatus(status).catch(() => {})
  return '{}'
}
