import type { WakePath } from './paths.ts'

/** Sends one notification to Claude Code. */
export type Notify = (method: string, params: { readonly [key: string]: string | { readonly [key: string]: string } }) => Promise<void>

/** Claude Code's channels, for which its user must have asked. Whether they are live nobody tells: a turn that is not seen is the only answer. */
export function channelPath(notify: Notify): WakePath {
  return {
    name: 'channel',
    open: () => true,
    post: ({ text, from }) => notify('notifications/claude/channel', { content: text, meta: { from } }),
  }
}
