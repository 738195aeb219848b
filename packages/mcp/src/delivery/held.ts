import type { Mesh, ReceivedMessage } from '@claudemesh/client'
import type { Clock, MessageId } from '@claudemesh/protocol'

const longestHold = 30 * 60_000
const lookEvery = 60_000

/** Tells senders that their messages wait: of a budget at once, of do-not-disturb after the longest hold. Each once. */
export class HeldWords {
  readonly #mesh: Mesh
  readonly #clock: Clock
  readonly #overBudget: (message: ReceivedMessage) => boolean
  readonly #told = new Set<MessageId>()
  #cancel: (() => void) | undefined

  constructor(mesh: Mesh, clock: Clock, overBudget: (message: ReceivedMessage) => boolean) {
    this.#mesh = mesh
    this.#clock = clock
    this.#overBudget = overBudget
  }

  look(): void {
    const quiet = this.#mesh.me.status === 'dnd'
    const waiting = this.#mesh.inbox
      .peek()
      .filter((message) => !this.#told.has(message.id) && (this.#overBudget(message) || (quiet && message.priority !== 'now')))
    const due = waiting.filter((message) => this.#overBudget(message) || this.#clock.now() - message.receivedAt >= longestHold)
    for (const { id } of due) this.#told.add(id)
    this.#mesh.held(due)
    if (due.length === waiting.length) return
    this.#cancel ??= this.#clock.after(lookEvery, () => {
      this.#cancel = undefined
      this.look()
    })
  }

  forget(ids: readonly MessageId[]): void {
    for (const id of ids) this.#told.delete(id)
  }

  stop(): void {
    this.#cancel?.()
  }
}
