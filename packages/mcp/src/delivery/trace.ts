/** What a transcript of Claude Code says of a message: it stands in the conversation, it waits in the session's queue, or a hook of the user kept it from the model. */
export type Trace = 'shown' | 'queued' | 'kept'

interface Line {
  readonly type?: string
  readonly operation?: string
  readonly content?: unknown
  readonly attachment?: { readonly type?: string }
  readonly message?: { readonly content?: unknown }
}

/** Only what Claude Code itself put before the model counts: a tool's result, an answer or the record of a hook may quote an id. */
export function traceOf(text: string): Trace | 'removed' | undefined {
  let line: Line
  try {
    line = JSON.parse(text) as Line
  } catch {
    return undefined
  }
  switch (line.type) {
    case 'queue-operation':
      return line.operation === 'enqueue' ? 'queued' : 'removed'
    case 'system':
      return /^\w+ operation blocked by hook/.test(String(line.content)) ? 'kept' : undefined
    case 'attachment':
      return isHookRecord(line.attachment?.type) ? undefined : 'shown'
    case 'user':
      return isToolResult(line.message?.content) ? undefined : 'shown'
    default:
      return undefined
  }
}

/** What a hook said is written down whether or not the model got it. */
const isHookRecord = (type = '') => type.startsWith('hook_') && type !== 'hook_additional_context'

const isToolResult = (content: unknown) => Array.isArray(content) && content.some((block: { type?: string }) => block.type === 'tool_result')
