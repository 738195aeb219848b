import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { decide, type Answer } from './script.ts'

export interface Block {
  type: string
  text?: string
  content?: string | Block[]
  tool_use_id?: string
  is_error?: boolean
}

export interface Turn {
  role: string
  content: string | Block[]
}

export interface ApiRequest {
  /** Who asked: the first part of the path, one per started Claude Code. */
  readonly session: string
  /** When it had come, in milliseconds of `performance.now()`. */
  readonly at: number
  readonly body: { messages: Turn[]; system?: unknown; tools?: { name: string }[]; stream?: boolean }
  /** The whole body as it came: the proof of what reached the model. */
  readonly text: string
}

interface Waiter {
  readonly session: string
  readonly holds: (request: ApiRequest) => boolean
  readonly resolve: (request: ApiRequest) => void
}

const deadline = 60_000

/** A scripted Messages API on loopback: keeps every request body and answers by the directives in the newest user text. */
export class MessagesApi implements AsyncDisposable {
  readonly requests: ApiRequest[] = []
  readonly #server: Server
  readonly #waiters = new Set<Waiter>()

  private constructor(server: Server) {
    this.#server = server
    server.on('request', (req, res) => void this.#serve(req, res))
  }

  static async start(): Promise<MessagesApi> {
    const server = createServer()
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    return new MessagesApi(server)
  }

  /** The base URL for one session. */
  url(session: string): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/${session}`
  }

  /** The first request of that session, past or future, that `holds`. Fails after a minute, quoting what came instead. */
  until(session: string, what: string, holds: (request: ApiRequest) => boolean): Promise<ApiRequest> {
    const known = this.requests.find((request) => request.session === session && holds(request))
    if (known) return Promise.resolve(known)
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiters.delete(waiter)
        const seen = this.requests.filter((request) => request.session === session).map((request) => request.text.slice(-1500))
        reject(
          new Error(`${session}: ${what} did not reach the API within ${deadline / 1000} s; ${seen.length} requests, the last one ends in …${seen.at(-1)}`),
        )
      }, deadline)
      const waiter: Waiter = {
        session,
        holds,
        resolve: (request) => {
          clearTimeout(timer)
          resolve(request)
        },
      }
      this.#waiters.add(waiter)
    })
  }

  async #serve(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const [, session = '', path = ''] = /^\/([^/]*)([^?]*)/.exec(req.url ?? '') ?? []
    if (req.method === 'HEAD') return void res.writeHead(200).end()
    const text = await read(req)
    if (req.method !== 'POST' || !path.startsWith('/v1/messages')) return void res.writeHead(404).end('{}')
    if (path === '/v1/messages/count_tokens') return sendJson(res, 200, { input_tokens: 10 })
    const request: ApiRequest = { session, at: performance.now(), text, body: JSON.parse(text) as ApiRequest['body'] }
    this.requests.push(request)
    const answer = decide(request)
    if (answer.kind === 'fail') sendJson(res, answer.status, { type: 'error', error: { type: 'api_error', message: 'as scripted' } })
    else if (request.body.stream) sendStream(res, answer)
    else sendJson(res, 200, message(answer))
    for (const waiter of this.#waiters) {
      if (waiter.session !== session || !waiter.holds(request)) continue
      this.#waiters.delete(waiter)
      waiter.resolve(request)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise<void>((resolve) => this.#server.close(() => resolve()))
  }
}

/** The text of one turn: its own words and its tool results. */
export function textOf(turn: Turn): string {
  return typeof turn.content === 'string' ? turn.content : turn.content.map(blockText).join('\n')
}

function blockText(block: Block): string {
  if (block.text !== undefined) return block.text
  if (typeof block.content === 'string') return block.content
  return (block.content ?? []).map(blockText).join('\n')
}

async function read(req: IncomingMessage): Promise<string> {
  const parts: Buffer[] = []
  for await (const part of req) parts.push(part as Buffer)
  return Buffer.concat(parts).toString('utf8')
}

function sendJson(res: ServerResponse, status: number, body: unknown): void {
  res.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
}

type Scripted = Exclude<Answer, { kind: 'fail' }>

let serial = 0
const usage = { input_tokens: 10, output_tokens: 10, cache_creation_input_tokens: 0, cache_read_input_tokens: 0 }
const head = () => ({ id: `msg_${++serial}`, type: 'message', role: 'assistant', model: 'claude-scripted', stop_sequence: null, usage })
const block = (answer: Scripted) =>
  answer.kind === 'say' ? { type: 'text', text: answer.text } : { type: 'tool_use', id: `toolu_${++serial}`, name: answer.tool, input: answer.input }
const stopReason = (answer: Scripted) => (answer.kind === 'say' ? 'end_turn' : 'tool_use')

function message(answer: Scripted) {
  return { ...head(), content: [block(answer)], stop_reason: stopReason(answer) }
}

function sendStream(res: ServerResponse, answer: Scripted): void {
  res.writeHead(200, { 'content-type': 'text/event-stream' })
  const emit = (type: string, fields: object) => res.write(`event: ${type}\ndata: ${JSON.stringify({ type, ...fields })}\n\n`)
  const content = block(answer)
  const start = answer.kind === 'say' ? { type: 'text', text: '' } : { ...content, input: {} }
  const delta = answer.kind === 'say' ? { type: 'text_delta', text: answer.text } : { type: 'input_json_delta', partial_json: JSON.stringify(answer.input) }
  emit('message_start', { message: { ...head(), content: [], stop_reason: null } })
  emit('content_block_start', { index: 0, content_block: start })
  emit('content_block_delta', { index: 0, delta })
  emit('content_block_stop', { index: 0 })
  emit('message_delta', { delta: { stop_reason: stopReason(answer), stop_sequence: null }, usage })
  emit('message_stop', {})
  res.end()
}
