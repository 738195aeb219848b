import { open } from 'node:fs/promises'
import type { MessageId } from '@claudemesh/protocol'

const tail = 8 * 1024 * 1024

/** What a transcript of Claude Code says of a message: it stands in the conversation, it waits in the session's queue, or nothing. */
export type Trace = 'shown' | 'queued'

/** Looks for the ids in the last 8 MB of a transcript. An unreadable one says nothing. */
export async function findInTranscript(path: string, ids: readonly MessageId[]): Promise<Map<MessageId, Trace>> {
  const traces = new Map<MessageId, Trace>()
  for (const line of (await readTail(path)).split('\n')) {
    const named = ids.filter((id) => line.includes(id))
    if (named.length === 0) continue
    const trace = traceOf(line)
    if (trace === undefined) continue
    for (const id of named) {
      if (traces.get(id) === 'shown') continue
      if (trace === 'removed') traces.delete(id)
      else traces.set(id, trace)
    }
  }
  return traces
}

interface Line {
  readonly type?: string
  readonly operation?: string
  readonly attachment?: { readonly type?: string }
  readonly message?: { readonly content?: unknown }
}

/** Only what Claude Code itself put before the model counts: a tool's result or an answer may quote an id. */
function traceOf(text: string): Trace | 'removed' | undefined {
  let line: Line
  try {
    line = JSON.parse(text) as Line
  } catch {
    return undefined
  }
  if (line.type === 'queue-operation') return line.operation === 'enqueue' ? 'queued' : 'removed'
  if (line.type === 'attachment') return 'shown'
  return line.type === 'user' && !isToolResult(line.message?.content) ? 'shown' : undefined
}

const isToolResult = (content: unknown) => Array.isArray(content) && content.some((block: { type?: string }) => block.type === 'tool_result')

async function readTail(path: string): Promise<string> {
  try {
    await using file = await open(path)
    const { size } = await file.stat()
    const length = Math.min(size, tail)
    const { buffer } = await file.read(Buffer.alloc(length), 0, length, size - length)
    return buffer.toString('utf8')
  } catch {
    return ''
  }
}
