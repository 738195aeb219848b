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
}

/** A session of the mesh and what delivers its messages. */
export interface Live {
  readonly mesh: Mesh
  readonly delivery: Delivery
}

/** What the session does now, where the event tells. */
export function activityOf(args: unknown): Activity | undefined {
  const { event, notification_type: notice } = (args ?? {}) as HookArgs
  return event === 'Notification' ? activityAtNotice[String(notice)] : activityAt[String(event)]
}

/** Takes an event of Claude Code: the status follows it, what the session saw is surfaced. Answers what the hook must answer, `{}` where there is nothing to say. */
export function hookEvent(live: Live, args: unknown, heard: (activity: Activity) => void = () => {}): string {
  const { delivery } = live
  const { event, prompt, transcript } = (args ?? {}) as HookArgs
  if (typeof transcript === 'string' && transcript.startsWith('/')) delivery.transcriptAt(transcript)
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
