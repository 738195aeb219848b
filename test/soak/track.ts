interface UnderWay {
  readonly at: number
  acked: boolean
  pushed: boolean
}

/** Told of what happens to messages. */
export interface Book {
  /** A send was answered after so many milliseconds, or refused. */
  answered(took: number, code?: string): void
  /** Something happened that must not. */
  wrong(what: string): void
}

/** What became of the messages from one to another, which are numbered upwards: each has to be answered once and, when acked, pushed once, in the order of sending. It remembers only what is under way. */
export class Track {
  readonly #book: Book
  readonly #underWay = new Map<number, UnderWay>()
  #lastPushed = -1
  #allDone = () => {}

  constructor(book: Book) {
    this.#book = book
  }

  sent(n: number, now: number): void {
    this.#underWay.set(n, { at: now, acked: false, pushed: false })
  }

  answered(n: number, now: number, code?: string): void {
    const message = this.#underWay.get(n)
    if (!message || message.acked) {
      this.#book.wrong(Number.isNaN(n) ? `the broker refused what is no message, as ${code}` : 'a message was answered twice')
      return
    }
    this.#book.answered(now - message.at, code)
    if (code === undefined) message.acked = true
    else if (message.pushed) this.#book.wrong(`a message was pushed and refused as ${code}`)
    if (code !== undefined || message.pushed) this.#close(n)
  }

  pushed(n: number): void {
    const message = this.#underWay.get(n)
    if (message?.pushed || (!message && n <= this.#lastPushed)) this.#book.wrong('a message was pushed again')
    else if (!message) this.#book.wrong('a message was pushed that was refused, or never sent')
    else if (n < this.#lastPushed) this.#book.wrong('a message was pushed after a later one')
    this.#lastPushed = Math.max(n, this.#lastPushed)
    if (!message) return
    message.pushed = true
    if (message.acked) this.#close(n)
  }

  /** Resolves once nothing is under way. */
  async done(): Promise<void> {
    if (this.#underWay.size > 0) await new Promise<void>((resolve) => (this.#allDone = resolve))
  }

  /** Nothing comes any more: what is still under way is lost. */
  end(): void {
    for (const { acked } of this.#underWay.values()) this.#book.wrong(acked ? 'an acked message was never pushed' : 'a message was never answered')
    this.#underWay.clear()
  }

  #close(n: number): void {
    this.#underWay.delete(n)
    if (this.#underWay.size === 0) this.#allDone()
  }
}
