import type { ReceivedMessage } from '@claudemesh/client'
import type { Clock, MessageId, SessionPubkey } from '@claudemesh/protocol'

/** How much peers may make a session do before a person is asked. */
export interface Budget {
  /** Messages of one peer within the window, whoever caused them. */
  readonly messages: number
  /** Of these, such as the peer sent because of a message itself, without its user. */
  readonly answers: number
  readonly windowMs: number
  /** Messages that each caused the next, since a user last had a word in it. */
  readonly hops: number
}

/** What nobody at work reaches, and a loop within minutes. */
export const defaultBudget: Budget = { messages: 300, answers: 40, windowMs: 600_000, hops: 16 }

interface Account {
  messages: number[]
  answers: number[]
  /** How far a chain of messages may go; a release moves it on. */
  hops: number
  readonly held: Set<MessageId>
  name: string
  told: boolean
}

/** Holds back the messages of a peer that is over its budget, later ones behind them, until a person lets them through. */
export class Guard {
  readonly #clock: Clock
  readonly #budget: Budget
  readonly #accounts = new Map<SessionPubkey, Account>()

  constructor(clock: Clock, budget: Budget) {
    this.#clock = clock
    this.#budget = budget
  }

  /** Counts a message that came, once. */
  take({ id, from, hops }: ReceivedMessage): void {
    const account = this.#of(from.session)
    const now = this.#clock.now()
    const { messages, answers, windowMs } = this.#budget
    account.name = from.name
    account.messages = [...account.messages.filter((at) => at > now - windowMs), now]
    if (hops > 0) account.answers = [...account.answers.filter((at) => at > now - windowMs), now]
    const over = account.messages.length > messages || account.answers.length > answers || hops > account.hops
    if (over || account.held.size > 0) account.held.add(id)
  }

  holds({ id, from }: ReceivedMessage): boolean {
    return this.#accounts.get(from.session)?.held.has(id) ?? false
  }

  /** It was read after all. */
  forget(ids: readonly MessageId[]): void {
    for (const { held } of this.#accounts.values()) for (const id of ids) held.delete(id)
  }

  /** A person lets everything through: each peer has a whole budget again. */
  release(hopsNow: number): void {
    for (const account of this.#accounts.values()) {
      if (account.held.size > 0) account.hops = Math.max(account.hops, hopsNow) + this.#budget.hops
      account.held.clear()
      account.messages = []
      account.answers = []
      account.told = false
    }
  }

  /** Who is held back, each told once until the next release. */
  news(): { readonly name: string; readonly messages: number }[] {
    const fresh = [...this.#accounts.values()].filter((account) => account.held.size > 0 && !account.told)
    for (const account of fresh) account.told = true
    return fresh.map(({ name, held }) => ({ name, messages: held.size }))
  }

  #of(session: SessionPubkey): Account {
    const known = this.#accounts.get(session)
    if (known) return known
    const account: Account = { messages: [], answers: [], hops: this.#budget.hops, held: new Set(), name: '', told: false }
    this.#accounts.set(session, account)
    return account
  }
}
