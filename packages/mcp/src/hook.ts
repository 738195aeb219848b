import type { Mesh } from '@claudemesh/client'
import type { Activity, Delivery } from './delivery/delivery.ts'

/** The tool that Claude Code's hooks call; it is not listed, so that the model does not see it. */
export const hookTool = 'hook_event'

const activityAt: Record<string, Activity> = {
  UserPromptSubmit: 'working',
  PreToolUse: 'working',
  PostToolUse: 'working',
  PostToolUseFailure: 'working',
  PermissionRequest: 'waiting',
  Stop: 'idle',
  StopFailure: 'idle',
}

const activityAtNotice: Record<string, Activity> = { idle_prompt: 'idle', permission_prompt: 'waiting' }

interface HookArgs {
  readonly event?: unknown
  readonly notification_type?: unknown
  readonly prompt?: unknown
  readonly transcript?: unknown
  readonly agent?: unknown
}

/** A subagent's tool called: the session's own model goes on only when its subagent has ended, and sees nothing of what is put before that. */
const isSubagents = ({ agent }: HookArgs) => typeof agent === 'string' && agent !== '' && !agent.startsWith('$')

/** A session of the mesh and what delivers its messages. */
export interface Live {
  readonly mesh: Mesh
  readonly delivery: Delivery
}

/** What the session does now, where the event tells. */
export function activityOf(args: unknown): Activity | undefined {
  const given = (args ?? {}) as HookArgs
  const { event, notification_type: notice } = given
  if (isSubagents(given)) return undefined
  return event === 'Notification' ? activityAtNotice[String(notice)] : activityAt[String(event)]
}

/** Takes an event of Claude Code: the status follows it, what the session saw is surfaced. Answers what the hook must answer, `{}` where there is nothing to say. */
export function hookEvent(live: Live, args: unknown, heard: (activity: Activity) => void = () => {}): string {
  const { delivery } = live
  const given = (args ?? {}) as HookArgs
  const { event, prompt, transcript } = given
  if (typeof transcript === 'string' && transcript.startsWith('/')) delivery.transcriptAt(transcript)
  if (isSubagents(given)) return '{}'
  delivery.proceed()
  const fresh = event !== 'UserPromptSubmit' || typeof prompt !== 'string' || delivery.saw(prompt)
  const carries = fresh && (event === 'UserPromptSubmit' || event === 'PostToolUse' || event === 'Stop')
  const text = carries ? delivery.context(event) : undefined
  // With something to read the session goes on; a prompt that is kept from the model begins nothing.
  const now = text === undefined ? activityOf(args) : 'working'
  if (now !== undefined && fresh) become(live, now, heard)
  if (!fresh) return JSON.stringify({ decision: 'block', reason: 'This message of a peer was shown before.' })
  const news = delivery.news()
  return JSON.stringify({
    ...(news === undefined ? {} : { systemMessage: news }),
    ...(text === undefined ? {} : { hookSpecificOutput: { hookEventName: event, additionalContext: text } }),
  })
}

/** The session does this now. */
export function become({ mesh, delivery }: Live, activity: Activity, heard: (activity: Activity) => void): void {
  followActivity(mesh, activity)
  delivery.active(activity)
  heard(activity)
}

/** Sets the status that the activity implies; a do-not-disturb set by hand stays. */
export function followActivity(mesh: Mesh, status: Activity): void {
  const now = mesh.me.status
  // Not awaited: the session waits for its hooks.
  if (now !== 'dnd' && now !== status) mesh.setStatus(status).catch(() => {})
}
