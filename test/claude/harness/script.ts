import { textOf, type ApiRequest, type Turn } from './messages-api.ts'

export type Answer = { kind: 'say'; text: string } | { kind: 'call'; tool: string; input: unknown } | { kind: 'fail'; status: number }

/** Directives in a prompt: `[[call TOOL {json}]]`, `[[say TEXT]]`, `[[fail STATUS]]`; one per request of the turn, in order. */
const directive = /\[\[(call|say|fail) (.*?)\]\](?=\s|$)/gs

/**
 * What the scripted model answers: the next directive of the newest user text that has any, or a plain word when all are worked off;
 * `"$id"` in a call's JSON stands for the `id` in the newest tool result.
 */
export function decide(request: ApiRequest): Answer {
  const { messages, tools } = request.body
  if (!tools?.length) return { kind: 'say', text: 'ok' }
  // A message of a peer may stand after the prompt that is being worked off.
  const from = messages.findLastIndex((turn) => turn.role === 'user' && words(turn).search(directive) >= 0)
  const prompt = messages[from]
  if (!prompt) return { kind: 'say', text: 'Noted.' }
  const done = messages.slice(from + 1).filter((turn) => turn.role === 'assistant').length
  const step = [...words(prompt).matchAll(directive)][done]
  if (!step?.[1] || step[2] === undefined) return { kind: 'say', text: 'Noted.' }
  if (step[1] === 'say') return { kind: 'say', text: step[2] }
  if (step[1] === 'fail') return { kind: 'fail', status: Number(step[2]) }
  const [, tool = '', json = '{}'] = /^(\S+)\s*(.*)$/s.exec(step[2]) ?? []
  return { kind: 'call', tool, input: JSON.parse(json.replaceAll('$id', newestId(messages))) }
}

function words(turn: Turn): string {
  return typeof turn.content === 'string' ? turn.content : turn.content.map((block) => (block.type === 'text' ? (block.text ?? '') : '')).join('\n')
}

function newestId(messages: Turn[]): string {
  const results = messages.filter((turn) => typeof turn.content !== 'string' && turn.content.some((block) => block.type === 'tool_result')).map(textOf)
  return /"(?:id|messageId)":\s*"([A-Za-z0-9_-]{22})"/.exec(results.at(-1) ?? '')?.[1] ?? '$id'
}
