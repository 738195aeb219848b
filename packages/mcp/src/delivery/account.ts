import type { MessageId } from '@claudemesh/protocol'

const mostNames = 4

/** What one peer, or one thread, made a session do lately, and which of its messages wait for it. */
export class Account {
  /** Who speaks in it. */
  readonly names = new Set<string>()
  /** How far a chain of messages may go; a release moves it on. */
  hops: number
  readonly #held = new Set<MessageId>()
  readonly #times: Record<'messages' | 'answers', number[]> = { messages: [], answers: [] }
  #told = false

  constructor(hops: number) {
    this.hops = hops
  }

  /** Counts one more and says how many there were since then. */
  count(what: 'messages' | 'answers', now: number, since: number): number {
    this.#times[what] = [...this.#times[what].filter((at) => at > since), now]
    return this.#times[what].length
  }

  hold(id: MessageId): void {
    this.#held.add(id)
  }

  /** Of one peer or thread none overtakes another. */
  holdBehind(id: MessageId): void {
    if (this.#held.size > 0) this.#held.add(id)
  }

  holds(id: MessageId): boolean {
    return this.#held.has(id)
  }

  get size(): number {
    return this.#held.size
  }

  get whose(): string {
    const names = [...this.names]
    return names.length <= mostNames ? names.join(', ') : `${names.slice(0, mostNames).join(', ')} and ${names.length - mostNames} more`
  }

  forget(ids: readonly MessageId[]): void {
    for (const id of ids) this.#held.delete(id)
  }

  /** Whether something waits of which nobody was told; once. */
  tell(): boolean {
    if (this.#told || this.#held.size === 0) return false
    this.#told = true
    return true
  }

  isQuiet(since: number): boolean {
    return this.#held.size === 0 && [...this.#times.messages, ...this.#times.answers].every((at) => at <= since)
  }

  release(hopsNow: number, more: number): void {
    if (this.#held.size > 0) this.hops = Math.max(this.hops, hopsNow) + more
    this.#held.clear()
    this.#times.messages = []
    this.#times.answers = []
    this.#told = false
  }
}
