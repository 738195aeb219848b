import type { ReplayWindows } from '@claudemesh/crypto'
import type { Clock, SessionPubkey } from '@claudemesh/protocol'

const grace = 10_000

/** Reports messages that never came, once each, after others had time to overtake them. */
export class Gaps {
  readonly #clock: Clock
  readonly #windows: ReplayWindows
  readonly #report: (session: SessionPubkey, missing: number) => void
  readonly #due = new Map<SessionPubkey, () => void>()
  readonly #reported = new Map<SessionPubkey, Set<number>>()

  constructor(clock: Clock, windows: ReplayWindows, report: (session: SessionPubkey, missing: number) => void) {
    this.#clock = clock
    this.#windows = windows
    this.#report = report
  }

  /** A message of this sender arrived: if numbers before it are missing, look again after the grace period. */
  look(session: SessionPubkey): void {
    if (this.#due.has(session) || this.#missing(session).length === 0) return
    this.#due.set(
      session,
      this.#clock.after(grace, () => {
        this.#due.delete(session)
        const missing = this.#missing(session)
        this.#reported.set(session, new Set(this.#windows.gaps(session)))
        if (missing.length > 0) this.#report(session, missing.length)
      }),
    )
  }

  stop(): void {
    for (const cancel of this.#due.values()) cancel()
    this.#due.clear()
  }

  #missing(session: SessionPubkey): number[] {
    const known = this.#reported.get(session)
    return this.#windows.gaps(session).filter((counter) => !known?.has(counter))
  }
}
