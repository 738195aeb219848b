import type { Readable, Writable } from 'node:stream'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Mesh } from '@claudemesh/client'
import type { LocalFiles } from '@claudemesh/client/node'
import { MeshError, silent, type Clock, type Log, type Tool } from '@claudemesh/protocol'
import { z } from 'zod'
import { watchCard } from './card.ts'
import { Delivery, type Activity } from './delivery/delivery.ts'
import { defaultBudget, type Budget } from './delivery/guard.ts'
import type { Ledger } from './delivery/ledger.ts'
import { channelPath, type Notify } from './delivery/channel.ts'
import type { WakePath } from './delivery/paths.ts'
import type { Rewake } from './delivery/rewake.ts'
import { socketPath, type InboxPlace } from './delivery/socket.ts'
import { frameData } from './frame.ts'
import { activityOf, become, followActivity, hookEvent, hookTool, type Live } from './hook.ts'
import { instructions } from './instructions.ts'
import { Notices } from './notices.ts'
import { Registry } from './registry.ts'
import { StateNews } from './state-news.ts'
import { runTool, toolList, type Turn } from './tools.ts'
import { VitalSigns, type Vitals } from './vitals.ts'

export interface ServeOptions {
  /** The session; a function is called once, after `initialize` was answered, so that connecting never delays it. */
  readonly mesh: Promise<Mesh> | (() => Promise<Mesh>)
  readonly input: Readable
  readonly output: Writable
  readonly version: string
  readonly clock: Clock
  readonly log?: Log
  /** What an earlier server of this session left, asked for once the mesh is there. */
  readonly ledger?: () => Ledger | undefined
  /** How much peers may make the session do; asked for once the mesh is there, sane defaults unless given. */
  readonly budget?: () => Budget | undefined
  /** Patterns of state keys whose changes are worth waking the session; asked for once the mesh is there, none unless given. */
  readonly watch?: () => readonly string[]
  /** The files of this machine that the session may share and save; asked for once the mesh is there. */
  readonly files?: () => LocalFiles | undefined
  /** Hears at each change who the session is in the mesh, for when its model forgets. */
  readonly card?: (text: string) => void
  /** Hears how the session fares, for `status` and `doctor`. */
  readonly vitals?: (vitals: Vitals) => void
  /** The file in which the Claude Code that started this server keeps what it is doing. */
  readonly registry?: string
  /** Where Claude Code writes the conversation, for a session in which no hook tells. */
  readonly transcript?: () => string | undefined
  /** The session inbox of the Claude Code that started this server, once it can be known. Asked until it answers. */
  readonly inbox?: () => InboxPlace | undefined
  /** The user asked Claude Code for the channel of this server. */
  readonly channel?: boolean
  /** Hooks that wait to wake the session, where nothing better does. */
  readonly rewake?: Rewake
}

/** A running server. Disposing it ends delivery and the MCP connection within 100 ms; the mesh is the caller's to close. */
export interface McpServerHandle extends AsyncDisposable {
  /** Settles when the client closed its end. */
  readonly closed: Promise<void>
}

/** How long a tool call waits for a mesh that is still connecting. */
const patience = 10_000
/** A client that never says `initialized` still gets a session. */
const latestStart = 2000

/** A server with a session of the mesh behind it. */
export interface SessionServerHandle extends McpServerHandle {
  /** A person lets through what the budget held back. */
  release(): void
}

/** Serves the mesh's tools over MCP and delivers messages into the session. */
export async function serveMcp(options: ServeOptions): Promise<SessionServerHandle> {
  const [{ Server }, { StdioServerTransport }] = await Promise.all([import('@modelcontextprotocol/server'), import('@modelcontextprotocol/server/stdio')])
  const session = new Session(options, (method, params) => server.notification({ method, params }))
  const capabilities = { tools: {}, experimental: { 'claude/channel': {} } }
  const server = new Server({ name: 'claudemesh', version: options.version }, { capabilities, instructions })
  server.setRequestHandler('tools/list', () => ({ tools: toolList.map(describe) }))
  server.setRequestHandler('tools/call', ({ params }) => session.call(params.name, params.arguments))
  server.oninitialized = () => session.start()
  let closing = () => {}
  const closed = new Promise<void>((resolve) => (closing = resolve))
  // oxlint-disable-next-line unicorn/prefer-add-event-listener -- the SDK has no other way
  server.onclose = closing
  // A plain connect stays with the protocol of 2025-11-25; the SDK's own stdio entry answers the newer discovery, and Claude Code then drops channels.
  await server.connect(new StdioServerTransport(options.input, options.output))
  return {
    closed,
    release: () => session.release(),
    [Symbol.asyncDispose]: async () => {
      session.stop()
      await server.close()
    },
  }
}

type JsonObject = { [key: string]: string | number | boolean | null | JsonObject | JsonObject[] }

function describe({ name, doc, input }: Tool) {
  const { $schema: _, ...inputSchema } = z.toJSONSchema(input, { io: 'input' }) as JsonObject
  const size = name === 'check_messages' || name === 'get_state' ? { 'anthropic/maxResultSizeChars': 200_000 } : {}
  return { name, description: doc, inputSchema: { ...inputSchema, type: 'object' as const }, _meta: { 'anthropic/alwaysLoad': true, ...size } }
}

/** The mesh behind the tools: connecting, connected or failed. */
class Session {
  readonly #o: ServeOptions
  readonly #notices = new Notices()
  readonly #news: StateNews
  readonly #stops: (() => void)[] = []
  #mesh: Promise<Mesh> | undefined
  /** What the mesh and its delivery are, once they are there. */
  #live: Live | undefined
  /** What hooks told of before. */
  #missed: Activity | undefined
  #attending: Promise<void> | undefined
  #registry: Registry | undefined
  #stopped = false
  readonly #notify: Notify
  readonly #vitals: VitalSigns

  constructor(options: ServeOptions, notify: Notify) {
    this.#o = options
    this.#news = new StateNews(options.clock)
    this.#notify = notify
    this.#vitals = new VitalSigns(options.clock, (vitals) => options.vitals?.(vitals))
    this.#stops.push(options.clock.after(latestStart, () => this.start()))
  }

  start(): void {
    if (this.#mesh || this.#stopped) return
    const { mesh } = this.#o
    this.#mesh = typeof mesh === 'function' ? mesh() : mesh
    this.#attending = this.#attend(this.#mesh)
  }

  async #attend(connecting: Promise<Mesh>): Promise<void> {
    const { clock, rewake, log = silent } = this.#o
    try {
      const mesh = await connecting
      if (this.#stopped) return
      this.#stops.push(this.#notices.watch(mesh))
      this.#registry = this.#follow(mesh)
      if (this.#o.card) this.#stops.push(watchCard(mesh, clock, this.#o.card))
      const budget = this.#o.budget?.() ?? defaultBudget
      const delivery = new Delivery({
        mesh,
        clock,
        log,
        notices: this.#notices,
        ledger: this.#o.ledger?.(),
        news: this.#news,
        budget,
        paths: this.#paths(),
        refresh: () => this.#refresh(),
      })
      this.#live = { mesh, delivery }
      this.#stops.push(this.#news.watch(mesh, this.#o.watch?.() ?? [], budget, () => delivery.stateChanged()))
      if (rewake) this.#stops.push(rewake.onArmed(() => delivery.look()))
      this.#stops.push(() => delivery.stop(), this.#vitals.watch(mesh, delivery))
      if (this.#missed !== undefined) become({ mesh, delivery }, this.#missed, (activity) => this.#registry?.heard(activity))
    } catch (error) {
      log('error', 'mesh_failed', { error: error instanceof MeshError ? error.code : 'internal' })
    }
  }

  /** The best one first: they are tried in this order, one at a time. */
  #paths(): WakePath[] {
    const { inbox, channel, rewake } = this.#o
    return [...(inbox ? [socketPath(inbox)] : []), ...(channel ? [channelPath(this.#notify)] : []), ...(rewake ? [rewake.path] : [])]
  }

  /** An interrupt fires no hook, and a dialog that is answered none at once: the registry file tells. */
  #follow(mesh: Mesh): Registry | undefined {
    const { registry: path, clock } = this.#o
    if (path === undefined) return undefined
    const changed = (activity: Activity) => {
      followActivity(mesh, activity)
      this.#live?.delivery.active(activity)
    }
    const registry = new Registry({ path, clock, changed })
    this.#stops.push(() => registry.stop())
    return registry
  }

  async #refresh(): Promise<{ transcript: string | undefined }> {
    await this.#registry?.refresh()
    return { transcript: this.#o.transcript?.() }
  }

  release(): void {
    this.#live?.delivery.release()
  }

  stop(): void {
    this.#stopped = true
    for (const stop of this.#stops) stop()
  }

  async call(name: string, args: unknown): Promise<{ content: { type: 'text'; text: string }[]; isError?: boolean }> {
    if (name === hookTool) return text(await this.#hook(args))
    try {
      const mesh = await this.#connected()
      const result = await runTool(mesh, name, args, this.#turn())
      return text(typeof result === 'string' ? result : frameData('mesh-data', result))
    } catch (error) {
      const known = error instanceof MeshError ? error : new MeshError('internal', 'the mesh tool failed; its log has the cause')
      if (known !== error) this.#o.log?.('error', 'tool_failed', { tool: name, error: error instanceof Error ? error.name : 'unknown' })
      return { ...text(frameData('mesh-error', `${known.code}: ${known.message}`)), isError: true }
    }
  }

  /** Hooks are never kept waiting, for instance by a broker that is away, and never hear of trouble: its text would reach the model. */
  async #hook(args: unknown): Promise<string> {
    this.start()
    this.#vitals.heard(String((args as { event?: unknown } | undefined)?.event))
    await Promise.race([this.#attending, nextTurn()])
    if (!this.#live) {
      this.#missed = activityOf(args) ?? this.#missed
      return '{}'
    }
    try {
      return hookEvent(this.#live, args, (activity) => this.#registry?.heard(activity))
    } catch (error) {
      this.#o.log?.('error', 'hook_failed', { error: error instanceof Error ? error.name : 'unknown' })
      return '{}'
    }
  }

  #turn(): Turn {
    const delivery = this.#live?.delivery
    const files = this.#o.files?.()
    return {
      notices: this.#notices,
      news: this.#news,
      hops: delivery?.hops ?? 0,
      ...(delivery ? { sent: (id, to, re) => delivery.sent(id, to, re) } : {}),
      ...(files ? { files } : {}),
    }
  }

  async #connected(): Promise<Mesh> {
    this.start()
    if (!this.#mesh) throw new MeshError('closed')
    let cancel = () => {}
    const late = new Promise<never>((_, reject) => {
      cancel = this.#o.clock.after(patience, () => reject(new MeshError('unavailable', 'the mesh is still connecting; try again shortly')))
    })
    try {
      return await Promise.race([this.#mesh, late])
    } finally {
      cancel()
    }
  }
}

const text = (content: string) => ({ content: [{ type: 'text' as const, text: content }] })
