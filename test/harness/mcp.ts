import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { PassThrough } from 'node:stream'
import { serveMcp, type ServeOptions, type SessionServerHandle } from '@claudemesh/mcp'

type Json = Record<string, unknown>

type Place = NonNullable<ServeOptions['inbox']>

export interface ToolResult {
  readonly text: string
  readonly isError: boolean
}

/** The far end of an MCP server, as Claude Code speaks to it over stdio. */
export class McpClient implements AsyncDisposable {
  readonly input = new PassThrough()
  readonly output = new PassThrough()
  handle: SessionServerHandle | undefined
  readonly #waiting = new Map<number, (answer: Json) => void>()
  readonly #notifications: Json[] = []
  readonly #watchers = new Set<() => void>()
  #next = 0

  constructor() {
    createInterface({ input: this.output }).on('line', (line) => {
      const answer = JSON.parse(line) as Json
      this.#waiting.get(Number(answer['id']))?.(answer)
      if (answer['id'] !== undefined) return
      this.#notifications.push(answer)
      for (const look of this.#watchers) look()
    })
  }

  /** Those of this kind that nobody asked for yet. */
  notifications(method: string): Json[] {
    return this.#notifications.filter((one) => one['method'] === method)
  }

  /** What the next notification of this kind says. */
  notification(method: string): Promise<Json> {
    return new Promise((resolve) => {
      const look = () => {
        const [first] = this.notifications(method)
        if (!first) return
        this.#watchers.delete(look)
        this.#notifications.splice(this.#notifications.indexOf(first), 1)
        resolve(first['params'] as Json)
      }
      this.#watchers.add(look)
      look()
    })
  }

  static async start({
    inbox,
    ...options
  }: Omit<ServeOptions, 'input' | 'output' | 'version' | 'inbox'> & { inbox?: SessionInbox | Place }): Promise<McpClient> {
    const client = new McpClient()
    const place = inbox ? { inbox: inbox instanceof SessionInbox ? () => ({ path: inbox.path }) : inbox } : {}
    client.handle = await serveMcp({ ...options, ...place, input: client.input, output: client.output, version: '0.0.0' })
    return client
  }

  /** The whole answer, `result` or `error`. */
  ask(method: string, params: Json = {}): Promise<Json> {
    const id = ++this.#next
    return new Promise((resolve) => {
      this.#waiting.set(id, resolve)
      this.input.write(`${JSON.stringify({ jsonrpc: '2.0', id, method, params })}\n`)
    })
  }

  async initialize(): Promise<Json> {
    const { result } = await this.ask('initialize', { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'test', version: '0' } })
    this.input.write(`${JSON.stringify({ jsonrpc: '2.0', method: 'notifications/initialized' })}\n`)
    return result as Json
  }

  async call(name: string, args: Json = {}): Promise<ToolResult> {
    const { result, error } = await this.ask('tools/call', { name, arguments: args })
    if (error) throw new Error(JSON.stringify(error))
    const { content, isError } = result as { content: [{ text: string }]; isError?: boolean }
    return { text: content[0].text, isError: isError ?? false }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.handle?.[Symbol.asyncDispose]()
  }
}

/** The inbox socket of a Claude Code session: takes turns, or refuses to. */
export class SessionInbox implements AsyncDisposable {
  readonly path: string
  readonly turns: Json[] = []
  readonly #directory: string
  readonly #waiting: ((turn: Json) => void)[] = []
  #server: Server | undefined

  private constructor(directory: string) {
    this.#directory = directory
    this.path = join(directory, 'inbox.sock')
  }

  static async open(): Promise<SessionInbox> {
    const inbox = new SessionInbox(await mkdtemp(join(tmpdir(), 'inbox-')))
    await inbox.listen()
    return inbox
  }

  async listen(): Promise<void> {
    this.#server = createServer((socket) => {
      createInterface({ input: socket }).on('line', (line) => this.#took(JSON.parse(line) as Json))
    })
    this.#server.listen(this.path)
    await once(this.#server, 'listening')
  }

  /** The next turn that nobody asked for yet. */
  async turn(): Promise<{ text: string; from: string; priority: string }> {
    const turn = this.turns.shift() ?? (await new Promise<Json>((resolve) => this.#waiting.push(resolve)))
    const { content } = turn['message'] as { content: string }
    return { text: content, from: String(turn['from']), priority: String(turn['priority']) }
  }

  /** Nobody listens any more. */
  async refuse(): Promise<void> {
    this.#server?.close()
    await rm(this.path, { force: true })
  }

  #took(turn: Json): void {
    const waiting = this.#waiting.shift()
    if (waiting) waiting(turn)
    else this.turns.push(turn)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server?.close()
    await rm(this.#directory, { recursive: true, force: true })
  }
}
