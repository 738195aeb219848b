import { once } from 'node:events'
import { appendFile, rename, writeFile } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { text as all } from 'node:stream/consumers'
import type { McpClient, SessionInbox } from '../harness/mcp.ts'
import type { TestClock } from '../harness/clock.ts'

interface Options {
  readonly clock: TestClock
  /** For its transcripts and its registry file. */
  readonly folder: string
  readonly inbox?: SessionInbox | undefined
  /** Where its waiting hooks wait. */
  readonly wake?: string | undefined
  /** Whether it takes notifications of channels. */
  readonly channel: boolean
}

interface Queued {
  readonly text: string
  readonly later: boolean
}

interface HookAnswer {
  readonly decision?: string
  readonly hookSpecificOutput?: { readonly additionalContext: string }
}

const frame = /<peer-message [^<>]*? id="([A-Za-z0-9_-]{22})"[^>]*>\n([^]*?)\n<\/peer-message nonce="[0-9a-f]{16}">/g

/** What a session of Claude Code does with turns, hooks, tools, its transcript and its registry file, as the real one was seen to do; and what its model read. */
export class ModelledClaude {
  /** How often each message stood before the model as a whole. */
  readonly read = new Map<string, number>()
  /** Messages of which the model saw the beginning. */
  readonly begun = new Set<string>()
  /** Messages that another hook kept from the model when they came alone. */
  readonly kept = new Set<string>()
  readonly registry: string
  readonly #o: Options
  readonly #queue: Queued[] = []
  readonly #arriving: Queued[] = []
  #mcp: McpClient | undefined
  #armed: Socket | undefined
  #conversation = 0
  busy = false
  /** Takes turns and forgets them without a word. */
  dropping = false
  /** Another hook keeps the next prompt from the model. */
  blocking = false
  /** The next prompt fires no hook. */
  deaf = false

  constructor(options: Options) {
    this.#o = options
    this.registry = join(options.folder, '1.json')
  }

  async attach(mcp: McpClient): Promise<void> {
    this.#mcp = mcp
    await this.#arm()
  }

  detach(): void {
    this.#armed?.destroy()
    this.#mcp = undefined
  }

  /** Takes in what has come, and begins the next turn when it is idle. */
  async pump(): Promise<void> {
    const { inbox, channel } = this.#o
    for (const turn of inbox?.turns.splice(0) ?? []) {
      const { content } = turn['message'] as { content: string }
      this.#arriving.push({ text: content, later: turn['priority'] === 'later' })
    }
    const mcp = this.#mcp
    if (channel && mcp) for (const _ of mcp.notifications('notifications/claude/channel')) await this.#takeNotification(mcp)
    for (const turn of this.#arriving.splice(0)) {
      if (this.dropping) continue
      await this.#write({ type: 'queue-operation', operation: 'enqueue', content: turn.text })
      this.#queue.push(turn)
    }
    while (!this.busy && this.#queue.length > 0) await this.#begin()
  }

  async #takeNotification(mcp: McpClient): Promise<void> {
    const { content } = (await mcp.notification('notifications/claude/channel')) as { content: string }
    this.#arriving.push({ text: `<channel source="plugin:claudemesh:mesh" from="mesh">\n${content}\n</channel>`, later: false })
  }

  /** The user types something while nothing runs. */
  async prompt(): Promise<void> {
    if (!this.busy) await this.#submit('go on')
  }

  /** The model calls a tool; what waits is put before it when the tool has ended. */
  async tool(run: () => Promise<unknown> = async () => {}): Promise<void> {
    if (!this.busy) return
    await this.#hook('PreToolUse')
    await run()
    this.#context(await this.#hook('PostToolUse'))
    await this.pump()
    for (const turn of this.#queue.filter(({ later }) => !later)) {
      this.#queue.splice(this.#queue.indexOf(turn), 1)
      await this.#submit(turn.text)
    }
  }

  /** The model reads what waits. */
  async checkMessages(): Promise<void> {
    await this.tool(async () => {
      if (!this.#mcp) return
      const { text } = await this.#mcp.call('check_messages')
      await this.#write({ type: 'user', message: { content: [{ type: 'tool_result', content: text }] } })
      this.#see(text)
    })
  }

  async stop(): Promise<void> {
    if (!this.busy) return
    const answer = await this.#hook('Stop')
    await this.#arm()
    if (this.#context(answer)) return
    await this.#rest()
  }

  /** The API refused: the turn ends. */
  async fail(): Promise<void> {
    if (!this.busy) return
    await this.#hook('StopFailure')
    await this.#arm()
    await this.#rest()
  }

  /** Interrupted, of which no hook tells. */
  async escape(): Promise<void> {
    if (this.busy) await this.#rest()
  }

  /** The conversation begins anew; what waited to be taken up is still there. */
  async clear(): Promise<void> {
    if (!this.busy) this.#conversation++
  }

  async #rest(): Promise<void> {
    this.busy = false
    await this.#status('idle')
    await this.pump()
  }

  async #begin(): Promise<void> {
    const first = this.#queue.find(({ later }) => !later) ?? this.#queue[0]
    if (!first) return
    this.#queue.splice(this.#queue.indexOf(first), 1)
    await this.#write({ type: 'queue-operation', operation: 'dequeue' })
    await this.#submit(first.text)
  }

  async #submit(text: string): Promise<void> {
    const { busy } = this
    if (!busy) await this.#status('busy')
    this.busy = true
    const unheard = this.deaf
    const blocked = this.blocking
    this.deaf = this.blocking = false
    const answer = unheard ? {} : await this.#hook('UserPromptSubmit', text)
    if (blocked || answer.decision === 'block') {
      const [only, ...more] = [...text.matchAll(frame)]
      if (blocked && more.length === 0) this.kept.add(only?.[1] ?? '')
      await this.#write({ type: 'system', content: `UserPromptSubmit operation blocked by hook:\nno\n\nOriginal prompt: ${text}` })
      this.busy = busy
      if (!busy) await this.#status('idle')
      return
    }
    const told = `Another Claude session sent a message:\n${text}`
    await this.#write(busy ? { type: 'attachment', attachment: { type: 'queued_command', prompt: told } } : { type: 'user', message: { content: told } })
    this.#see(text)
    this.#context(answer)
  }

  #context({ hookSpecificOutput: output }: HookAnswer): boolean {
    if (!output) return false
    void this.#write({ type: 'attachment', attachment: { type: 'hook_success', stdout: JSON.stringify({ hookSpecificOutput: output }) } })
    void this.#write({ type: 'attachment', attachment: { type: 'hook_additional_context', content: [output.additionalContext] } })
    this.#see(output.additionalContext)
    return true
  }

  #see(text: string): void {
    for (const [, id = '', body = ''] of text.matchAll(frame)) {
      if (/^\[truncated: /m.test(body)) this.begun.add(id)
      else this.read.set(id, (this.read.get(id) ?? 0) + 1)
    }
  }

  async #hook(event: string, prompt?: string): Promise<HookAnswer> {
    if (!this.#mcp) return {}
    const { text } = await this.#mcp.call('hook_event', { event, transcript: this.#transcript, ...(prompt === undefined ? {} : { prompt }) })
    return JSON.parse(text) as HookAnswer
  }

  /** A hook begins to wait; it ends with what it is told, which becomes a turn. */
  async #arm(): Promise<void> {
    const { wake } = this.#o
    if (wake === undefined || !this.#mcp) return
    const hook = connect(wake)
    await once(hook, 'connect')
    this.#armed = hook
    void this.#standBy(hook)
  }

  async #standBy(hook: Socket): Promise<void> {
    const told = await all(hook).catch(() => '')
    const { wake } = JSON.parse(told || '{}') as { wake?: string }
    if (wake === undefined) return
    this.#arriving.push({ text: `<task-notification>\n</task-notification>\nStop hook blocking error from command "Stop": ${wake}`, later: false })
  }

  get #transcript(): string {
    return join(this.#o.folder, `conversation-${this.#conversation}.jsonl`)
  }

  #write(line: object): Promise<void> {
    return appendFile(this.#transcript, `${JSON.stringify(line)}\n`)
  }

  async #status(status: 'idle' | 'busy'): Promise<void> {
    this.#o.clock.advance(1)
    await writeFile(`${this.registry}.tmp`, JSON.stringify({ status, statusUpdatedAt: this.#o.clock.now() }))
    await rename(`${this.registry}.tmp`, this.registry)
    this.#o.clock.advance(1)
  }
}
