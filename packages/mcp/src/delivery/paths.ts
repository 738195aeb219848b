import type { Clock } from '@claudemesh/protocol'
import type { Turn } from './turn.ts'

/** The ways by which a turn can be put into a session unasked, the best one first. */
export type PathName = 'socket' | 'channel' | 'rewake'

/** One way into the session. */
export interface WakePath {
  readonly name: PathName
  /** Whether it can take a turn now; some paths reach an idle session only. */
  open(working: boolean): boolean
  /** Hands the turn over; rejects when it was not taken. That it was taken does not mean that it is seen. */
  post(turn: Turn): Promise<void>
}

/** What is known of one path: a hook saw a turn that went by it, none went yet, the last one was not seen or not taken. */
export interface PathReport {
  readonly path: PathName
  readonly state: 'works' | 'untried' | 'fails'
  /** When it last became so. */
  readonly at?: number
}

interface Known {
  readonly path: WakePath
  state: PathReport['state']
  at: number | undefined
  restUntil: number
  rest: number
}

const beginnings: Readonly<Record<PathName, RegExp>> = {
  socket: /^<peer-message /,
  channel: /^<channel [^>]*>\s*<peer-message /,
  rewake: /^<task-notification>[^]{0,300}?blocking error from command "[^"]*": <peer-message /,
}

/** The path by which a prompt came that is one of our turns. A user, who may quote a frame, does not begin so. */
export function pathOf(prompt: string): PathName | undefined {
  return (Object.keys(beginnings) as PathName[]).find((path) => beginnings[path].test(prompt))
}

const shortestRest = 15_000
const longestRest = 30 * 60_000

/** Chooses the one path by which turns go: the best that is open and did not fail just now. */
export class Paths {
  readonly #clock: Clock
  readonly #records: readonly Known[]

  constructor(clock: Clock, paths: readonly WakePath[]) {
    this.#clock = clock
    this.#records = paths.map((path) => ({ path, state: 'untried', at: undefined, restUntil: 0, rest: shortestRest }))
  }

  choose(working: boolean): WakePath | undefined {
    return this.#records.find(({ path, restUntil }) => restUntil <= this.#clock.now() && path.open(working))?.path
  }

  /** Milliseconds until one that rests may be tried again; undefined when none rests. */
  get rest(): number | undefined {
    const resting = this.#records.map(({ restUntil }) => restUntil - this.#clock.now()).filter((ms) => ms > 0)
    return resting.length === 0 ? undefined : Math.min(...resting)
  }

  /** A hook saw a turn that went by this path. */
  works(name: PathName): void {
    const record = this.#of(name)
    if (!record) return
    Object.assign(record, { state: 'works', at: this.#clock.now(), restUntil: 0, rest: shortestRest })
  }

  /** It did not take a turn: it rests, longer each time. */
  refused(name: PathName): void {
    const record = this.#of(name)
    if (!record) return
    const now = this.#clock.now()
    Object.assign(record, { state: 'fails', at: now, restUntil: now + record.rest, rest: Math.min(record.rest * 2, longestRest) })
  }

  /** What went by it was not seen: it rests where another path can take over, or where it was not seen twice; else it is tried again at once. */
  unseen(name: PathName, working: boolean): void {
    const first = this.#of(name)?.rest === shortestRest
    this.refused(name)
    const record = this.#of(name)
    if (record && first && !this.choose(working)) record.restUntil = 0
  }

  report(): PathReport[] {
    return this.#records.map(({ path, state, at }) => ({ path: path.name, state, ...(at === undefined ? {} : { at }) }))
  }

  #of(name: PathName): Known | undefined {
    return this.#records.find(({ path }) => path.name === name)
  }
}
