import type { ReceivedMessage } from '@claudemesh/client'
import type { Clock, Log, MessageId } from '@claudemesh/protocol'
import type { Offer, Offers } from './offers.ts'
import { findInTranscript, type Trace } from './transcript.ts'

interface UnseenOptions {
  readonly clock: Clock
  readonly log: Log
  readonly offers: Offers
  /** Since when the session is idle; undefined while it works. */
  readonly idleSince: () => number | undefined
  /** The transcript shows these to the model. */
  readonly shown: (messages: readonly ReceivedMessage[]) => void
  /** These went out, and nobody saw them. */
  readonly lost: (offers: readonly Offer[]) => void
}

/** An idle session shows a turn within half a second. */
const unseenAfter = 5000

/** Watches over what was handed to the session: while that works, a turn waits inside Claude Code; an idle one that does not show it has lost it. */
export class Unseen {
  readonly #o: UnseenOptions
  /** Where Claude Code writes the session's conversation. */
  transcript: string | undefined
  #cancel: (() => void) | undefined
  #stopped = false

  constructor(options: UnseenOptions) {
    this.#o = options
  }

  /** Looks again when the oldest offer should have been seen. */
  lookLater(): void {
    this.#cancel?.()
    this.#cancel = undefined
    const { clock, offers, idleSince } = this.#o
    const idle = idleSince()
    const [oldest] = offers.all
    if (this.#stopped || idle === undefined || !oldest) return
    const due = Math.max(oldest.since, idle) + unseenAfter
    this.#cancel = clock.after(Math.max(0, due - clock.now()), () => void this.#look())
  }

  /** Takes those out that the transcript shows; answers what it says to wait inside Claude Code. */
  async findShown(suspects: readonly Offer[]): Promise<Set<MessageId>> {
    const ids = suspects.flatMap((offer) => [...offer.messages.keys()])
    const traces = this.transcript === undefined ? new Map<MessageId, Trace>() : await findInTranscript(this.transcript, ids)
    if (!this.#stopped) this.#o.shown(this.#o.offers.take(ids.filter((id) => traces.get(id) === 'shown')))
    return new Set(ids.filter((id) => traces.get(id) === 'queued'))
  }

  stop(): void {
    this.#stopped = true
    this.#cancel?.()
  }

  async #look(): Promise<void> {
    const { clock, log, offers, idleSince, lost } = this.#o
    const idle = idleSince() ?? clock.now()
    const late = offers.all.filter((offer) => Math.max(offer.since, idle) + unseenAfter <= clock.now())
    const queued = await this.findShown(late)
    if (this.#stopped) return
    const unseen = late.filter((offer) => offer.messages.size > 0 && idleSince() !== undefined)
    const patient = unseen.filter((offer) => [...offer.messages.keys()].some((id) => queued.has(id)) && offer.patience-- > 0)
    for (const offer of patient) offer.since = clock.now()
    const gone = unseen.filter((offer) => !patient.includes(offer))
    if (gone.length > 0) log('warn', 'turns_unseen', { turns: gone.length })
    lost(gone)
    this.lookLater()
  }
}
