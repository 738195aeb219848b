import type { Mesh, MeshEvents } from '@claudemesh/client'
import { matchesKey, type Clock } from '@claudemesh/protocol'
import { frameData } from './frame.ts'
import { short } from './state-tools.ts'

type Change = MeshEvents['state']

/** Most keys that one notice names, and most that are remembered for it. */
const named = 8
const remembered = 1000
const longestValue = 200

/** How often changes may wake a session: two that watch each other's keys would never rest. */
export interface WakeBudget {
  readonly answers: number
  readonly windowMs: number
}

/** Changes of the shared state that the model has not been told of: of each key the last, as one short notice however many there were. */
export class StateNews {
  readonly #clock: Clock
  #patterns: readonly string[] = []
  #budget: WakeBudget = { answers: 0, windowMs: 0 }
  readonly #changes = new Map<string, Change>()
  #wakes: number[] = []
  #wake = false

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Takes note of changes from now on, until the returned function is called. Those of keys that match a pattern are worth waking a session, within the budget. */
  watch(mesh: Mesh, patterns: readonly string[], budget: WakeBudget, changed: () => void): () => void {
    this.#patterns = patterns
    this.#budget = budget
    return mesh.on('state', (change) => {
      this.#take(change)
      if (this.#wake) changed()
    })
  }

  get pending(): boolean {
    return this.#changes.size > 0
  }

  /** Whether a change waits that somebody asked to be woken by. */
  get wakes(): boolean {
    return this.#wake
  }

  /** The notice, once. It quotes peers, in a frame. */
  drain(): { readonly text: string | undefined; giveBack(): void } {
    const changes = [...this.#changes.values()]
    const woke = this.#wake
    if (woke) this.#wakes.push(this.#clock.now())
    this.#changes.clear()
    this.#wake = false
    return {
      text: changes.length === 0 ? undefined : frameData('mesh-data', noticeOf(changes)),
      giveBack: () => {
        for (const change of changes) if (!this.#changes.has(change.key)) this.#changes.set(change.key, change)
        if (woke) this.#wakes.pop()
        this.#wake ||= woke
      },
    }
  }

  #take(change: Change): void {
    // Anew, so that the latest stand last.
    this.#changes.delete(change.key)
    this.#changes.set(change.key, change)
    const [oldest] = this.#changes.keys()
    if (this.#changes.size > remembered && oldest !== undefined) this.#changes.delete(oldest)
    if (this.#patterns.some((pattern) => matchesKey(pattern, change.key)) && this.#mayWake()) this.#wake = true
  }

  #mayWake(): boolean {
    this.#wakes = this.#wakes.filter((at) => at > this.#clock.now() - this.#budget.windowMs)
    return this.#wakes.length < this.#budget.answers
  }
}

function noticeOf(changes: readonly Change[]): object {
  const more = changes.length - named
  return {
    state_changed: changes.slice(-named).map(({ key, value, deleted, by, version }) => ({
      key,
      ...(deleted ? { deleted } : { value: short(value, longestValue) }),
      version,
      by: by.name,
    })),
    ...(more > 0 ? { more: `${more} more keys: list_state` } : {}),
  }
}
