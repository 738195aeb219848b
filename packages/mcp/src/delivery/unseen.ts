import type { Clock, Log } from '@claudemesh/protocol'
import { idsOf, type Offer, type Offers, type Parts } from './offers.ts'
import type { Transcript } from './transcript.ts'

interface UnseenOptions {
  readonly clock: Clock
  readonly log: Log
  readonly offers: Offers
  readonly transcript: Transcript
  /** Since when the session is idle; undefined while it works. */
  readonly idleSince: () => number | undefined
  /** Finds out what no hook told of: what the session does, and where its transcript is. */
  readonly refresh: () => Promise<void>
  /** The transcript shows these to the model. */
  readonly shown: (parts: Parts) => void
  /** Another hook kept these from the model. */
  readonly kept: (parts: Parts) => void
  /** These went out, and nobody saw them. */
  readonly lost: (offers: readonly Offer[]) => void
}

/** An idle session shows a turn within half a second. */
const unseenAfter = 5000
/** A working one writes down at once that it came. */
const unarrivedAfter = 15_000

/** Watches over what was handed to the session: while that works, a turn waits inside Claude Code; an idle one that does not show it has lost it, and so has one that never wrote of it. */
export class Unseen {
  readonly #o: UnseenOptions
  #cancel: (() => void) | undefined
  #stopped = false

  constructor(options: UnseenOptions) {
    this.#o = options
  }

  /** Looks again when the first offer should have been seen. */
  lookLater(): void {
    this.#cancel?.()
    this.#cancel = undefined
    const { clock, offers } = this.#o
    const dues = offers.all.map((offer) => this.#due(offer))
    if (this.#stopped || dues.length === 0) return
    this.#cancel = clock.after(Math.max(0, Math.min(...dues) - clock.now()), () => void this.#look())
  }

  /** Settles what the transcript knows of these offers. */
  async settle(suspects: readonly Offer[]): Promise<void> {
    const { transcript, offers, shown, kept } = this.#o
    await transcript.read()
    if (this.#stopped) return
    const ids = suspects.flatMap(idsOf)
    const seen = offers.take(ids.filter((id) => transcript.trace(id) === 'shown'))
    shown(seen)
    for (const offer of suspects) {
      const away = idsOf(offer).filter((id) => transcript.trace(id) === 'kept')
      if (away.length > 0) kept(offers.take(away))
    }
  }

  stop(): void {
    this.#stopped = true
    this.#cancel?.()
  }

  #due(offer: Offer): number {
    const idle = this.#o.idleSince()
    return idle === undefined ? offer.since + unarrivedAfter : Math.max(offer.since, idle) + unseenAfter
  }

  async #look(): Promise<void> {
    const { clock, log, offers, transcript, idleSince, refresh, lost } = this.#o
    await refresh()
    const late = offers.all.filter((offer) => this.#due(offer) <= clock.now())
    await this.settle(late)
    if (this.#stopped) return
    const open = late.filter((offer) => idsOf(offer).length > 0)
    const gone = open.filter((offer) => (idleSince() === undefined ? this.#neverCame(offer) : !this.#waits(offer)))
    for (const offer of open) if (!gone.includes(offer)) offer.since = clock.now()
    if (gone.length > 0) log('warn', 'turns_unseen', { turns: gone.length, proven: transcript.proven })
    lost(gone)
    this.lookLater()
  }

  #neverCame(offer: Offer): boolean {
    const { transcript } = this.#o
    return transcript.proven && idsOf(offer).every((id) => transcript.trace(id) === undefined)
  }

  #waits(offer: Offer): boolean {
    return idsOf(offer).some((id) => this.#o.transcript.trace(id) === 'queued') && offer.patience-- > 0
  }
}
