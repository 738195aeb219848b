import { textOf, type ApiRequest, type Turn } from './messages-api.ts'

export type Answer = { kind: 'say'; text: string } | { kind: 'call'; tool: string; input: unknown } | { kind: 'fail'; status: number }

/** Directives in a prompt: `[[call TOOL {json}]]`, `[[say TEXT]]`, `[[fail STATUS]]`; one per request of the turn, in order. */
const directive = /\[\[(call|say|fail) (.*?)\]\](?=\s|$)/gs

/**
 * What the scripted model answers: the next directive of the newest user text that has any and has not been worked off;
 * `"$id"` in a call's JSON stands for the `id` in the newest tool result.
 */
export function decide(request: ApiRequest): Answer {
  const { messages, tools } = request.body
  if (!tools?.length) return { kind: 'say', text: 'ok' }
  const from = messages.findLastIndex((turn) => turn.role === 'user' && isPrompt(turn))
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

function isPrompt(turn: Turn): boolean {
  return typeof turn.content === 'string' || !turn.content.some((block) => block.type === 'tool_result')
}

function words(turn: Turn): string {
  return typeof turn.content === 'string' ? turn.content : turn.content.map((block) => (block.type === 'text' ? (block.text ?? '') : '')).join('\n')
}

function newestId(messages: Turn[]): string {
  const results = messages.filter((turn) => turn.role === 'user' && !isPrompt(turn)).map(textOf)
  return /"(?:id|messageId)":\s*"([A-Za-z0-9_-]{22})"/.exec(results.at(-1) ?? '')?.[1] ?? '$id'
}
