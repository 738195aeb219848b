import type { Mesh, ReceivedMessage } from '@claudemesh/client'
import type { Clock, Log, MessageId } from '@claudemesh/protocol'
import { fits, idsInFrames } from '../frame.ts'
import type { Notices } from '../notices.ts'
import type { StateNews } from '../state-news.ts'
import { attribute } from '../visible.ts'
import { contextOf, firstBatch, maxText, turnOf } from './batch.ts'
import { Guard, type Budget } from './guard.ts'
import type { Ledger } from './ledger.ts'
import { Offers, type Offer } from './offers.ts'
import { Pace } from './pace.ts'
import type { Post } from './socket.ts'
import { findInTranscript, type Trace } from './transcript.ts'

export interface DeliveryOptions {
  readonly mesh: Mesh
  readonly clock: Clock
  readonly log: Log
  /** Absent where the session has no inbox socket. */
  readonly post?: Post
  readonly notices: Notices
  readonly news: StateNews
  readonly ledger?: Ledger | undefined
  readonly budget: Budget
}

/** What the session itself is doing, whatever its peers are told. */
export type Activity = 'idle' | 'working' | 'waiting'

/** What a hook's answer puts before the model. */
type ContextEvent = 'UserPromptSubmit' | 'PostToolUse' | 'Stop'

const retryAfter = 15_000
const longestHold = 30 * 60_000
const holdLook = 60_000
/** An idle session shows a turn within half a second. */
const unseenAfter = 5000
/** Turns under way: Claude Code keeps 50 and drops more without a word; what waits here goes as one batch instead. */
const underWay = { most: 4, urgent: 8 } as const

/**
 * Puts what arrives before the model, by one path at a time, and calls it surfaced when a hook has seen it there. A turn that nobody saw, though the session
 * is idle, is looked for in the transcript and offered again. Whatever is not under way stays in the inbox, for the next path and for check_messages.
 */
export class Delivery {
  readonly #o: DeliveryOptions
  readonly #pace: Pace
  readonly #offers = new Offers()
  readonly #guard: Guard
  /** Shown cut: their full text waits for check_messages and must not wake anybody again. */
  readonly #announced = new Set<MessageId>()
  /** Lost on the way through the socket at least once: these may go by any path. */
  readonly #lost = new Set<MessageId>()
  readonly #shown = new Set<MessageId>()
  /** Their senders know that they wait. */
  readonly #toldHeld = new Set<MessageId>()
  /** Of an earlier server: perhaps seen, so not posted before the transcript was asked. */
  readonly #inherited: Set<MessageId>
  readonly #off: (() => void)[]
  #transcript: string | undefined
  /** Of the message that began this turn; undefined when a user did. */
  #causedBy: number | undefined
  #activity: Activity = 'idle'
  #idleSince: number
  #retryAt = 0
  #posting = false
  #stopped = false
  #cancel: (() => void) | undefined
  #cancelLook: (() => void) | undefined
  #cancelHold: (() => void) | undefined

  constructor(options: DeliveryOptions) {
    this.#o = options
    this.#pace = new Pace(options.clock)
    this.#guard = new Guard(options.clock, options.budget)
    for (const message of options.mesh.inbox.peek()) this.#guard.take(message)
    this.#idleSince = options.clock.now()
    this.#inherited = new Set(options.ledger?.offered)
    this.#transcript = options.ledger?.transcript
    this.#off = [
      options.mesh.on('message', (message) => {
        this.#guard.take(message)
        this.#soon()
      }),
      options.mesh.on('me', () => this.#soon()),
      options.mesh.on('surfaced', (ids) => this.#surfaced(ids)),
    ]
    this.#soon()
  }

  stop(): void {
    this.#stopped = true
    for (const off of this.#off) off()
    this.#cancel?.()
    this.#cancelLook?.()
    this.#cancelHold?.()
  }

  /** The session began or ended a turn. */
  active(activity: Activity): void {
    if (activity === 'idle' && this.#activity !== 'idle') this.#idleSince = this.#o.clock.now()
    this.#activity = activity
    this.#soon()
    this.#lookLater()
  }

  /** A change of the state came that is worth waking the session. */
  stateChanged(): void {
    this.#soon()
  }

  /** Where Claude Code writes the session's conversation. */
  transcriptAt(path: string): void {
    if (path === this.#transcript) return
    this.#transcript = path
    this.#o.ledger?.record({ transcript: path })
  }

  /** A hook saw this text on its way to the model. False when all of it was shown before: then it should be kept from the model. */
  saw(prompt: string): boolean {
    const ids = idsInFrames(prompt)
    const waiting = this.#o.mesh.inbox.peek().filter((message) => ids.includes(message.id) && !this.#announced.has(message.id))
    const messages = [...this.#offers.take(ids), ...waiting]
    // A user may quote a frame; a turn of ours begins with one.
    const repeated = prompt.startsWith('<peer-message ') && ids.every((id) => this.#shown.has(id))
    const hops = messages.map((message) => message.hops)
    if (ids.length === 0) this.#causedBy = prompt.startsWith('<mesh-data ') ? 0 : undefined
    else if (this.#activity === 'idle') this.#causedBy = Math.max(0, ...hops)
    else if (this.#causedBy !== undefined) this.#causedBy = Math.max(this.#causedBy, ...hops)
    this.#o.mesh.surfaced(messages)
    this.#soon()
    return !repeated
  }

  /** What a message bears that is sent now. */
  get hops(): number {
    return this.#causedBy === undefined ? 0 : this.#causedBy + 1
  }

  /** What the user should hear, once: whose messages wait for `claudemesh continue`. */
  news(): string | undefined {
    const held = this.#guard.news()
    if (held.length === 0) return undefined
    const whose = held.map(({ name, messages }) => `${attribute(name)} (${messages})`).join(', ')
    return `claudemesh: messages wait because their senders are over the budget: ${whose}. Run \`claudemesh continue\` to let them through.`
  }

  /** A person lets through what the guard held back. */
  release(): void {
    this.#guard.release(Math.max(0, ...this.#o.mesh.inbox.peek().map((message) => message.hops)))
    this.#soon()
  }

  /** The session went on after a hook's answer: what that answer carried was seen. */
  proceed(): void {
    for (const offer of this.#offers.on('context')) this.#o.mesh.surfaced(this.#offers.take([...offer.messages.keys()]))
  }

  /** What a hook's answer should put before the model: nothing while the socket works. */
  context(event: ContextEvent): string | undefined {
    const { mesh, notices, news, clock, ledger } = this.#o
    const due = this.#showable().filter((message) => (!this.#o.post || this.#lost.has(message.id)) && !this.#inherited.has(message.id))
    // At the end of a turn the answer would begin another one.
    const wanted = event === 'Stop' ? due.filter((message) => message.priority !== 'low') : due
    // Changes of the state wait for a turn that begins anyway, unless somebody asked to be woken by them.
    const told = event === 'UserPromptSubmit' ? news.pending : !this.#o.post && this.#mayWake
    if (wanted.length === 0 && !told) return undefined
    const { batch, text } = contextOf(wanted, notices.drain().lines, news.drain().text)
    if (batch.length === 0) return text === '' ? undefined : text
    mesh.inbox.remove(batch.map((message) => message.id))
    this.#offers.add('context', batch, clock.now())
    if (event === 'Stop') this.#causedBy = Math.max(0, ...batch.map((message) => message.hops))
    ledger?.record({ offered: batch.map((message) => message.id) })
    return text === '' ? undefined : text
  }

  #surfaced(ids: readonly MessageId[]): void {
    this.#offers.take(ids)
    this.#guard.forget(ids)
    for (const id of ids) {
      for (const set of [this.#announced, this.#lost, this.#inherited, this.#toldHeld]) set.delete(id)
      this.#shown.add(id)
    }
    for (const id of this.#shown) {
      if (this.#shown.size <= 8192) break
      this.#shown.delete(id)
    }
  }

  #soon(): void {
    const { post, clock } = this.#o
    if (this.#stopped) return
    this.#adoptInherited()
    this.#tellHeld()
    if (!post || this.#posting || clock.now() < this.#retryAt || (this.#waking().length === 0 && !this.#mayWake)) return
    const urgent = this.#waking().some((message) => message.priority === 'now')
    // Those under way are seen first; what waits becomes one batch.
    if (this.#offers.on('socket').length >= (urgent ? underWay.urgent : underWay.most)) return
    const wait = this.#pace.wait(urgent)
    this.#cancel?.()
    this.#cancel = undefined
    if (wait === 0) void this.#postBatch(post)
    else this.#cancel = clock.after(wait, () => this.#soon())
  }

  get #mayWake(): boolean {
    return this.#o.news.wakes && this.#o.mesh.me.status !== 'dnd'
  }

  /** The messages that may be shown now and are reason enough to. */
  #waking(): ReceivedMessage[] {
    // In a working session it comes at the end of the turn and wakes nobody either.
    const working = this.#activity !== 'idle' || this.#o.mesh.me.status === 'working'
    return this.#showable().filter((message) => working || message.priority !== 'low')
  }

  #showable(): ReceivedMessage[] {
    const quiet = this.#o.mesh.me.status === 'dnd'
    return this.#o.mesh.inbox
      .peek()
      .filter((message) => !this.#announced.has(message.id) && !this.#guard.holds(message) && (!quiet || message.priority === 'now'))
  }

  /** Senders whose messages a budget holds back hear of it at once, those who meet do-not-disturb after the longest hold. */
  #tellHeld(): void {
    const { mesh, clock } = this.#o
    const quiet = mesh.me.status === 'dnd'
    const waiting = mesh.inbox
      .peek()
      .filter((message) => !this.#toldHeld.has(message.id) && (this.#guard.holds(message) || (quiet && message.priority !== 'now')))
    const due = waiting.filter((message) => this.#guard.holds(message) || clock.now() - message.receivedAt >= longestHold)
    for (const { id } of due) this.#toldHeld.add(id)
    mesh.held(due)
    if (due.length < waiting.length && !this.#cancelHold) {
      this.#cancelHold = clock.after(holdLook, () => {
        this.#cancelHold = undefined
        this.#tellHeld()
      })
    }
  }

  /** What an earlier server posted is under way until the transcript says otherwise. */
  #adoptInherited(): void {
    if (this.#inherited.size === 0) return
    const { mesh, clock } = this.#o
    const messages = mesh.inbox.peek().filter((message) => this.#inherited.has(message.id))
    if (messages.length === 0) return
    for (const { id } of messages) this.#inherited.delete(id)
    mesh.inbox.remove(messages.map((message) => message.id))
    const offer = this.#offers.add('socket', messages, clock.now())
    void this.#findShown([offer]).then(() => this.#lookLater())
  }

  async #postBatch(post: Post): Promise<void> {
    const { mesh, notices, news, log, clock, ledger } = this.#o
    const underWay = this.#offers.on('socket').map((offer) => offer.priority)
    const batch = firstBatch(this.#showable(), underWay)
    this.#posting = true
    this.#pace.spend()
    // Out of the inbox while under way, so that check_messages does not show it a second time.
    const whole = batch.filter((message) => fits(message, maxText))
    const ids = whole.map((message) => message.id)
    const cut = batch.filter((message) => !whole.includes(message))
    mesh.inbox.remove(ids)
    for (const { id } of cut) this.#announced.add(id)
    const offer = this.#offers.add('socket', whole, clock.now())
    ledger?.record({ offered: ids })
    const told = notices.drain()
    const changes = news.drain()
    try {
      await post(turnOf(batch, told.lines, changes.text))
      offer.since = clock.now()
      this.#posting = false
      this.#lookLater()
      this.#soon()
    } catch (error) {
      this.#giveBack([offer])
      for (const { id } of cut) this.#announced.delete(id)
      told.giveBack()
      changes.giveBack()
      this.#posting = false
      log('warn', 'inbox_refused', { error: error instanceof Error ? error.name : 'unknown', messages: batch.length })
      this.#retryAt = clock.now() + retryAfter
      if (!this.#stopped) this.#cancel = clock.after(retryAfter, () => this.#soon())
    }
  }

  /** The messages of these offers wait again, oldest first, and may now go by any path. */
  #giveBack(offers: readonly Offer[]): void {
    const ids = offers.flatMap((offer) => [...offer.messages.keys()])
    if (ids.length === 0) return
    const back = this.#offers.take(ids)
    for (const { id } of back) this.#lost.add(id)
    this.#o.ledger?.record({ withdrawn: ids })
    this.#o.mesh.inbox.restore(back)
  }

  /** While the session works, a turn waits inside Claude Code; an idle one that does not show it has lost it. */
  #lookLater(): void {
    this.#cancelLook?.()
    this.#cancelLook = undefined
    if (this.#stopped || this.#activity !== 'idle') return
    const [oldest] = this.#offers.on('socket')
    if (!oldest) return
    const due = Math.max(oldest.since, this.#idleSince) + unseenAfter
    this.#cancelLook = this.#o.clock.after(Math.max(0, due - this.#o.clock.now()), () => void this.#look())
  }

  async #look(): Promise<void> {
    const { clock, log } = this.#o
    const late = this.#offers.on('socket').filter((offer) => Math.max(offer.since, this.#idleSince) + unseenAfter <= clock.now())
    const queued = await this.#findShown(late)
    const unseen = late.filter((offer) => offer.messages.size > 0 && this.#activity === 'idle')
    const patient = unseen.filter((offer) => [...offer.messages.keys()].some((id) => queued.has(id)) && offer.patience-- > 0)
    for (const offer of patient) offer.since = clock.now()
    const lost = unseen.filter((offer) => !patient.includes(offer))
    if (lost.length > 0) log('warn', 'turns_unseen', { turns: lost.length })
    this.#giveBack(lost)
    this.#lookLater()
    this.#soon()
  }

  /** Surfaces what the transcript shows; returns what it says to wait inside Claude Code. */
  async #findShown(offers: readonly Offer[]): Promise<Set<MessageId>> {
    const ids = offers.flatMap((offer) => [...offer.messages.keys()])
    const traces = this.#transcript === undefined ? new Map<MessageId, Trace>() : await findInTranscript(this.#transcript, ids)
    if (!this.#stopped) this.#o.mesh.surfaced(this.#offers.take(ids.filter((id) => traces.get(id) === 'shown')))
    return new Set(ids.filter((id) => traces.get(id) === 'queued'))
  }
}
