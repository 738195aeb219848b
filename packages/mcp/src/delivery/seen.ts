import type { ReceivedMessage } from '@claudemesh/client'
import type { Clock } from '@claudemesh/protocol'

/** A hook sees a prompt some hundredths of a second before the model is asked. */
const believedAfter = 1000

/** What a hook saw on its way to the model: believed when the session goes on after it, so that nothing is called shown by a Claude Code that died in between. */
export class Seen {
  readonly #clock: Clock
  readonly #believe: (messages: readonly ReceivedMessage[]) => void
  #messages: ReceivedMessage[] = []
  #cancel: (() => void) | undefined

  constructor(clock: Clock, believe: (messages: readonly ReceivedMessage[]) => void) {
    this.#clock = clock
    this.#believe = believe
  }

  add(messages: readonly ReceivedMessage[]): void {
    if (messages.length === 0) return
    this.#messages.push(...messages)
    this.#cancel ??= this.#clock.after(believedAfter, () => this.confirm())
  }

  /** The session went on. */
  confirm(): void {
    this.#cancel?.()
    this.#cancel = undefined
    const messages = this.#messages
    this.#messages = []
    if (messages.length > 0) this.#believe(messages)
  }

  stop(): void {
    this.#cancel?.()
  }
}
