import { limits, times, type Clock } from '@claudemesh/protocol'

/** What was last seen of one row of the state. */
export interface Seen {
  readonly version: number
  /** Hash of its signed token; absent in a plain mesh, and where the record did not verify. */
  readonly hash?: string | undefined
  readonly deleted: boolean
  /** From when on the broker may have let go of a deleted row. */
  readonly at: number
}

/** The highest versions ever seen, kept by the app so that an older one is refused after a restart too. */
export interface StatePin {
  load(): Iterable<readonly [id: string, seen: Seen]>
  /** A row was seen in a higher version. */
  raise(id: string, seen: Seen): void
}

/** Remembers the highest version of each row: what a broker shows later must not be older, and must not be missing. */
export class SeenVersions {
  readonly #rows: Map<string, Seen>
  readonly #pin: StatePin | undefined
  readonly #clock: Clock

  constructor(clock: Clock, pin: StatePin | undefined) {
    this.#clock = clock
    this.#pin = pin
    this.#rows = new Map(pin?.load())
  }

  get(id: string): Seen | undefined {
    return this.#rows.get(id)
  }

  /** As it stands now, for what is asked now: changes that arrive before the answer must not make the answer look old. */
  snapshot(): ReadonlyMap<string, Seen> {
    return new Map(this.#rows)
  }

  remember(id: string, row: Pick<Seen, 'version' | 'hash' | 'deleted'>, at: number): void {
    const known = this.#rows.get(id)
    if (known && known.version > row.version) return
    const seen = { ...row, at: row.deleted ? at : this.#clock.now() }
    this.#rows.delete(id)
    this.#rows.set(id, seen)
    // A broker cannot have more rows than this, unless it invents them.
    const [oldest] = this.#rows.keys()
    if (this.#rows.size > 2 * limits.stateKeys && oldest !== undefined) this.#rows.delete(oldest)
    if (known?.version !== row.version) this.#pin?.raise(id, seen)
  }

  /** Whether a row that was seen may be gone: only as a deleted one, long after. */
  mayBeGone(seen: Seen): boolean {
    return this.#clock.now() - seen.at > times.tombstoneLife - times.skew
  }
}
