import type { Mesh, ReceivedMessage } from '@claudemesh/client'
import type { Clock, Log, MessageId, SessionPubkey } from '@claudemesh/protocol'
import { idsInFrames } from '../frame.ts'
import type { Notices } from '../notices.ts'
import type { StateNews } from '../state-news.ts'
import { attribute } from '../visible.ts'
import { contextOf, firstBatch, maxText, partsOf, turnOf } from './batch.ts'
import { Cause } from './cause.ts'
import { Guard, type Budget } from './guard.ts'
import { HeldWords } from './held.ts'
import type { Ledger } from './ledger.ts'
import { idsOf, Offers, type Offer, type Parts } from './offers.ts'
import { Pace } from './pace.ts'
import { Paths, pathOf, type PathReport, type WakePath } from './paths.ts'
import { Seen } from './seen.ts'
import { Threads } from './threads.ts'
import { Transcript } from './transcript.ts'
import { Unseen } from './unseen.ts'

export interface DeliveryOptions {
  readonly mesh: Mesh
  readonly clock: Clock
  readonly log: Log
  /** The ways into the session, the best one first; with none messages wait for hooks and for check_messages. */
  readonly paths: readonly WakePath[]
  readonly notices: Notices
  readonly news: StateNews
  readonly ledger?: Ledger | undefined
  readonly budget: Budget
  /** Finds out what no hook told of: what the session does, and where its transcript is. */
  readonly refresh?: (() => Promise<{ readonly transcript?: string | undefined }>) | undefined
}

/** What the session itself is doing, whatever its peers are told. */
export type Activity = 'idle' | 'working' | 'waiting'

/** What a hook's answer puts before the model. */
type ContextEvent = 'UserPromptSubmit' | 'PostToolUse' | 'Stop'

/** Turns under way: Claude Code keeps 50 and drops more without a word; what waits here goes as one batch instead. */
const underWay = { most: 4, urgent: 8 } as const
const remembered = 8192

/** A path that is not there yet is asked again. */
const askAgain = 15_000

/**
 * Puts what arrives before the model, by one path at a time, and calls it surfaced when a hook has seen it there, the session went on and its transcript says so.
 * What nobody saw is looked for in the transcript and offered again: after some seconds while the session is idle, sooner than its turn ends when it never came.
 * Whatever is not under way stays in the inbox, for the next path and for check_messages.
 */
export class Delivery {
  readonly #o: DeliveryOptions
  readonly #pace: Pace
  readonly #paths: Paths
  readonly #offers = new Offers()
  readonly #threads = new Threads()
  readonly #cause = new Cause()
  readonly #guard: Guard
  readonly #held: HeldWords
  readonly #unseen: Unseen
  readonly #seen: Seen
  readonly #transcript = new Transcript()
  /** Shown cut, or kept from the model by a hook of its user: they wait for check_messages and must not wake anybody again. */
  readonly #announced = new Set<MessageId>()
  /** Kept from the model with others, of which one may have been the reason: each has a turn of its own. */
  readonly #alone = new Set<MessageId>()
  /** Lost on the way at least once: these may go by any path. */
  readonly #lost = new Set<MessageId>()
  readonly #shown = new Set<MessageId>()
  /** The session worked since they came: at the end of that turn those of low priority are due as well, whatever held them up. */
  readonly #due = new Set<MessageId>()
  /** Of an earlier server: perhaps seen, so not posted before the transcript was asked. */
  readonly #inherited: Set<MessageId>
  readonly #off: (() => void)[]
  #activity: Activity = 'idle'
  #idleSince: number
  /** A hook named the transcript. */
  #hooksTell = false
  #posting = false
  #stopped = false
  #cancel: (() => void) | undefined

  constructor(options: DeliveryOptions) {
    this.#o = options
    const { mesh, clock, log, paths, budget, ledger } = options
    this.#pace = new Pace(clock)
    this.#paths = new Paths(clock, paths)
    this.#guard = new Guard(clock, budget, this.#threads)
    this.#held = new HeldWords(mesh, clock, (message) => this.#guard.holds(message))
    const transcript = this.#transcript
    const shown = ({ whole }: Parts) => mesh.surfaced(whole)
    const kept = (parts: Parts) => this.#keptBack(parts)
    this.#seen = new Seen({ clock, transcript, believe: shown, kept, lost: (parts) => this.#missed(parts) })
    this.#unseen = new Unseen({
      clock,
      log,
      transcript,
      offers: this.#offers,
      idleSince: () => (this.#activity === 'idle' ? this.#idleSince : undefined),
      refresh: () => this.#refresh(),
      shown,
      kept,
      lost: (offers) => this.#takeBack(offers),
    })
    for (const message of mesh.inbox.peek()) this.#guard.take(message)
    this.#idleSince = clock.now()
    this.#inherited = new Set(ledger?.offered)
    if (ledger?.transcript !== undefined) this.#transcript.path = ledger.transcript
    this.#off = [
      mesh.on('message', (message) => {
        this.#guard.take(message)
        this.look()
      }),
      mesh.on('me', () => this.look()),
      mesh.on('surfaced', (ids) => this.#surfaced(ids)),
    ]
    this.look()
  }

  stop(): void {
    this.#stopped = true
    for (const off of this.#off) off()
    this.#cancel?.()
    this.#unseen.stop()
    this.#seen.stop()
    this.#held.stop()
  }

  /** The session began or ended a turn. */
  active(activity: Activity): void {
    if (activity === 'idle' && this.#activity !== 'idle') this.#idleSince = this.#o.clock.now()
    this.#activity = activity
    this.look()
    this.#unseen.lookLater()
  }

  /** A change of the state came that is worth waking the session. */
  stateChanged(): void {
    this.look()
  }

  /** Where Claude Code writes the session's conversation. */
  transcriptAt(path: string): void {
    this.#hooksTell = true
    if (path === this.#transcript.path) return
    this.#transcript.path = path
    this.#o.ledger?.record({ transcript: path })
  }

  /** A hook saw this text on its way to the model. False when something of it was shown before: then it should be kept from the model, and what was not shown comes again. */
  saw(prompt: string): boolean {
    const ids = idsInFrames(prompt)
    const path = pathOf(prompt)
    if (path !== undefined && ids.some((id) => this.#wasShown(id))) {
      this.#giveBack(this.#offers.take(ids.filter((id) => !this.#wasShown(id))))
      this.look()
      return false
    }
    const waiting = this.#o.mesh.inbox.peek().filter((message) => ids.includes(message.id) && !this.#announced.has(message.id))
    const { whole, cut } = this.#offers.take(ids)
    const messages = [...whole, ...cut, ...waiting]
    if (path && messages.length > 0) this.#paths.works(path)
    this.#cause.prompted(messages, ids.length > 0 || prompt.startsWith('<mesh-data '), this.#activity === 'idle', this.#threadOf(messages))
    this.#o.mesh.inbox.remove(waiting.map((message) => message.id))
    const seen = { whole: [...whole, ...waiting], cut }
    this.#remember(seen.whole.map((message) => message.id))
    this.#seen.add(seen)
    this.look()
    return true
  }

  /** What a message bears that is sent now. */
  get hops(): number {
    return this.#cause.hops
  }

  /** The model sent a message, in answer to `re` or because of what began its turn. */
  sent(id: MessageId, to: readonly SessionPubkey[], re: string | undefined): void {
    this.#threads.sent(id, to, re, this.#cause.thread)
  }

  /** What is known of each way into the session, the best one first. */
  paths(): PathReport[] {
    return this.#paths.report()
  }

  /** What the user should hear, once: whose messages wait for `claudemesh continue`. */
  news(): string | undefined {
    const held = this.#guard.news()
    if (held.length === 0) return undefined
    const whose = held.map(({ whose: names, messages }) => `${attribute(names)} (${messages})`).join('; ')
    return `claudemesh: messages wait because their senders are over the budget: ${whose}. Run \`claudemesh continue\` to let them through.`
  }

  /** A person lets through what the guard held back. */
  release(): void {
    this.#guard.release(Math.max(0, ...this.#o.mesh.inbox.peek().map((message) => message.hops)))
    this.look()
  }

  /** The session went on after a hook's answer: what that hook saw, and what its answer carried, came before the model, unless the transcript knows better. */
  proceed(): void {
    this.#seen.confirm()
    const contexts = this.#offers.contexts
    if (contexts.length > 0) void this.#confirm(contexts)
  }

  /** What a hook's answer should put before the model: nothing while turns go through. */
  context(event: ContextEvent): string | undefined {
    const { notices, news } = this.#o
    const turnsGo = this.#paths.choose(true) !== undefined
    const due = this.#showable().filter((message) => (!turnsGo || this.#lost.has(message.id)) && !this.#inherited.has(message.id))
    // At the end of a turn the answer would begin another one.
    const wanted = event === 'Stop' ? due.filter((message) => message.priority !== 'low') : due
    // Changes of the state wait for a turn that begins anyway, unless somebody asked to be woken by them.
    const told = event === 'UserPromptSubmit' ? news.pending : !turnsGo && this.#mayWake
    if (wanted.length === 0 && !told) return undefined
    const { parts, text } = contextOf(wanted, notices.drain().lines, news.drain().text)
    const carried = [...parts.whole, ...parts.cut]
    if (event === 'Stop' && carried.length > 0) this.#cause.resumed(carried, this.#threadOf(carried))
    this.#offer('context', parts)
    return text === '' ? undefined : text
  }

  /** Sends off what may go now, or sees to it that this is looked at again in time. */
  look(): void {
    const { clock } = this.#o
    if (this.#stopped) return
    this.#adoptInherited()
    this.#held.look()
    this.#cancel?.()
    this.#cancel = undefined
    const waking = this.#waking()
    if (this.#posting || (waking.length === 0 && !this.#mayWake)) return
    const again = (ms: number) => (this.#cancel = clock.after(ms, () => this.look()))
    const path = this.#paths.choose(this.#activity !== 'idle')
    if (!path) {
      if (this.#o.paths.length > 0) again(this.#paths.rest ?? askAgain)
      return
    }
    const urgent = waking.some((message) => message.priority === 'now')
    // Those under way are seen first; what waits becomes one batch.
    if (this.#offers.turns.length >= (urgent ? underWay.urgent : underWay.most)) return
    const wait = this.#pace.wait(urgent)
    if (wait === 0) void this.#postBatch(path)
    else again(wait)
  }

  #threadOf(messages: readonly ReceivedMessage[]): string | undefined {
    const newest = messages.at(-1)
    return newest && this.#threads.of(newest)
  }

  #wasShown(id: MessageId): boolean {
    return this.#shown.has(id) || this.#offers.contexts.some((offer) => offer.whole.has(id))
  }

  async #confirm(contexts: readonly Offer[]): Promise<void> {
    const transcript = this.#transcript
    if (transcript.path !== undefined) await this.#unseen.settle(contexts)
    if (this.#stopped || transcript.proven) return
    for (const offer of contexts) this.#o.mesh.surfaced(this.#offers.take(idsOf(offer)).whole)
  }

  async #refresh(): Promise<void> {
    const { transcript } = (await this.#o.refresh?.()) ?? {}
    if (transcript !== undefined && !this.#hooksTell) this.#transcript.path = transcript
  }

  /** Out of the inbox while under way, so that check_messages does not show it a second time. */
  #offer(way: Offer['way'], parts: Parts): Offer {
    const { mesh, clock, ledger } = this.#o
    const ids = parts.whole.map((message) => message.id)
    for (const { id } of parts.cut) this.#announced.add(id)
    const offer = this.#offers.add(way, parts, clock.now())
    if (ids.length > 0) ledger?.record({ offered: ids })
    mesh.inbox.remove(ids)
    return offer
  }

  #surfaced(ids: readonly MessageId[]): void {
    this.#offers.take(ids)
    this.#guard.forget(ids)
    this.#held.forget(ids)
    for (const id of ids) for (const set of [this.#announced, this.#alone, this.#lost, this.#due, this.#inherited]) set.delete(id)
    this.#remember(ids)
  }

  #remember(ids: readonly MessageId[]): void {
    for (const id of ids) this.#shown.add(id)
    for (const id of this.#shown) {
      if (this.#shown.size <= remembered) break
      this.#shown.delete(id)
    }
  }

  get #mayWake(): boolean {
    return this.#o.news.wakes && this.#o.mesh.me.status !== 'dnd'
  }

  /** The messages that may be shown now and are reason enough to. */
  #waking(): ReceivedMessage[] {
    const working = this.#activity !== 'idle' || this.#o.mesh.me.status === 'working'
    const showable = this.#showable()
    if (working) for (const { id } of showable) this.#due.add(id)
    return showable.filter((message) => message.priority !== 'low' || this.#due.has(message.id))
  }

  #showable(): ReceivedMessage[] {
    const quiet = this.#o.mesh.me.status === 'dnd'
    return this.#o.mesh.inbox
      .peek()
      .filter((message) => !this.#announced.has(message.id) && !this.#guard.holds(message) && (!quiet || message.priority === 'now'))
  }

  /** What an earlier server posted is under way until the transcript says otherwise. */
  #adoptInherited(): void {
    if (this.#inherited.size === 0) return
    const { mesh, clock } = this.#o
    const messages = mesh.inbox.peek().filter((message) => this.#inherited.has(message.id))
    if (messages.length === 0) return
    for (const { id } of messages) this.#inherited.delete(id)
    mesh.inbox.remove(messages.map((message) => message.id))
    const offer = this.#offers.add('socket', { whole: messages, cut: [] }, clock.now())
    void this.#unseen.settle([offer]).then(() => this.#unseen.lookLater())
  }

  async #postBatch(path: WakePath): Promise<void> {
    const { notices, news, log, clock } = this.#o
    const batch = firstBatch(
      this.#showable(),
      this.#offers.turns.map((offer) => offer.priority),
      this.#alone,
    )
    this.#posting = true
    this.#pace.spend()
    const offer = this.#offer(path.name, partsOf(batch, maxText))
    const told = notices.drain()
    const changes = news.drain()
    try {
      await path.post(turnOf(batch, told.lines, changes.text))
      offer.since = clock.now()
    } catch (error) {
      log('warn', 'path_refused', { path: path.name, error: error instanceof Error ? error.name : 'unknown', messages: batch.length })
      this.#paths.refused(path.name)
      told.giveBack()
      changes.giveBack()
      this.#giveBack(this.#offers.take(idsOf(offer)))
    }
    this.#posting = false
    this.#unseen.lookLater()
    this.look()
  }

  #takeBack(offers: readonly Offer[]): void {
    for (const way of new Set(offers.map((offer) => offer.way))) if (way !== 'context') this.#paths.unseen(way, this.#activity !== 'idle')
    this.#giveBack(this.#offers.take(offers.flatMap(idsOf)))
    this.look()
  }

  #missed(parts: Parts): void {
    this.#giveBack(parts)
    this.look()
  }

  /** These were not shown: they wait again, oldest first, and may now go by any path. */
  #giveBack({ whole, cut }: Parts): void {
    for (const { id } of cut) this.#announced.delete(id)
    for (const { id } of [...whole, ...cut]) {
      this.#lost.add(id)
      this.#shown.delete(id)
    }
    if (whole.length === 0) return
    this.#o.ledger?.record({ withdrawn: whole.map((message) => message.id) })
    this.#o.mesh.inbox.restore(whole)
  }

  /** A hook of the session's user kept a turn from the model. What stood in it alone waits for check_messages; of several each comes again alone. */
  #keptBack(parts: Parts): void {
    const messages = [...parts.whole, ...parts.cut]
    this.#giveBack(parts)
    for (const message of messages) {
      const { id } = message
      if (this.#transcript.alone(id)) {
        this.#announced.add(id)
        this.#o.mesh.held([message])
      } else this.#alone.add(id)
      this.#transcript.forget(id)
      this.#lost.delete(id)
    }
    this.#o.log('warn', 'turn_kept_by_hook', { messages: messages.length })
    this.look()
  }
}
