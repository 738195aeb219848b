import type { Mesh, ReceivedMessage } from '@claudemesh/client'
import type { Clock, Log, MessageId, Priority } from '@claudemesh/protocol'
import { fits, framePeerMessages } from '../frame.ts'
import type { Notices } from '../notices.ts'
import { visible } from '../visible.ts'
import { Pace } from './pace.ts'
import type { Post, Turn } from './socket.ts'

export interface DeliveryOptions {
  readonly mesh: Mesh
  readonly clock: Clock
  readonly log: Log
  readonly post: Post
  readonly notices: Notices
}

/** Most characters of one message that are put into a session unasked. */
const maxText = 8000
const maxBatch = 24_000
const retryAfter = 15_000

/**
 * Puts what arrives into the session: at once while few come, in batches when many do. `now` goes first, `low` wakes nobody and rides along,
 * do-not-disturb holds all but `now`. What could not be posted stays in the inbox for check_messages.
 */
export class Delivery {
  readonly #o: DeliveryOptions
  readonly #pace: Pace
  /** Shown cut: their full text waits for check_messages and must not wake anybody again. */
  readonly #announced = new Set<MessageId>()
  readonly #off: (() => void)[]
  #posting = false
  #stopped = false
  #cancel: (() => void) | undefined

  constructor(options: DeliveryOptions) {
    this.#o = options
    this.#pace = new Pace(options.clock)
    this.#off = [options.mesh.on('message', () => this.#soon()), options.mesh.on('me', () => this.#soon())]
    this.#soon()
  }

  stop(): void {
    this.#stopped = true
    for (const off of this.#off) off()
    this.#cancel?.()
  }

  #soon(): void {
    if (this.#stopped || this.#posting || !this.#waking().length) return
    const wait = this.#pace.wait(this.#waking().some((message) => message.priority === 'now'))
    this.#cancel?.()
    this.#cancel = undefined
    if (wait === 0) void this.#postBatch()
    else this.#cancel = this.#o.clock.after(wait, () => this.#soon())
  }

  /** The messages that may be shown now and are reason enough to. */
  #waking(): ReceivedMessage[] {
    // In a working session it comes at the end of the turn and wakes nobody either.
    const working = this.#o.mesh.me.status === 'working'
    return this.#showable().filter((message) => working || message.priority !== 'low')
  }

  #showable(): ReceivedMessage[] {
    const quiet = this.#o.mesh.me.status === 'dnd'
    return this.#o.mesh.inbox.peek().filter((message) => !this.#announced.has(message.id) && (!quiet || message.priority === 'now'))
  }

  #batch(): ReceivedMessage[] {
    const urgent = (message: ReceivedMessage) => (message.priority === 'now' ? 0 : 1)
    const batch: ReceivedMessage[] = []
    let length = 0
    for (const message of this.#showable().sort((a, b) => urgent(a) - urgent(b))) {
      length += Math.min(message.text.length, maxText)
      if (batch.length > 0 && length > maxBatch) break
      batch.push(message)
    }
    return batch
  }

  #announce(cut: readonly ReceivedMessage[]): void {
    const waiting = new Set(this.#o.mesh.inbox.peek().map((message) => message.id))
    for (const id of this.#announced) if (!waiting.has(id)) this.#announced.delete(id)
    for (const { id } of cut) this.#announced.add(id)
  }

  async #postBatch(): Promise<void> {
    const { mesh, post, notices, log, clock } = this.#o
    const batch = this.#batch()
    this.#posting = true
    this.#pace.spend()
    // Out of the inbox while under way, so that check_messages does not show it a second time.
    const whole = batch.filter((message) => fits(message, maxText))
    mesh.inbox.remove(whole.map((message) => message.id))
    const told = notices.drain()
    try {
      await post(turnOf(batch, told.lines))
      this.#announce(batch.filter((message) => !whole.includes(message)))
      this.#posting = false
      this.#soon()
    } catch (error) {
      mesh.inbox.restore(whole)
      told.giveBack()
      this.#posting = false
      log('warn', 'inbox_refused', { error: error instanceof Error ? error.name : 'unknown', messages: batch.length })
      if (!this.#stopped) this.#cancel = clock.after(retryAfter, () => this.#soon())
    }
  }
}

function turnOf(batch: readonly ReceivedMessage[], lines: readonly string[]): Turn {
  const frames = framePeerMessages(batch, { maxText, rest: 'read all of it with check_messages' })
  const senders = new Set(batch.map((message) => message.from.name))
  const [only = ''] = senders
  return {
    text: [frames, ...lines.map(visible)].join('\n\n'),
    from: senders.size === 1 ? `mesh:${only}` : 'mesh',
    priority: turnPriority[most(batch)],
  }
}

const turnPriority = { now: 'now', next: 'next', low: 'later' } as const

/** The highest priority among the messages. */
function most(batch: readonly ReceivedMessage[]): Priority {
  return (['now', 'next'] as const).find((priority) => batch.some((message) => message.priority === priority)) ?? 'low'
}
