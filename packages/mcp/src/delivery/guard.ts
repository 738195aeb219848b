import type { ReceivedMessage } from '@claudemesh/client'
import type { Clock, MessageId, SessionPubkey } from '@claudemesh/protocol'
import { Account } from './account.ts'
import type { Threads } from './threads.ts'

/** How much peers may make a session do before a person is asked. */
export interface Budget {
  /** Messages of one peer within the window, whoever caused them. */
  readonly messages: number
  /** Of these, such as the peer sent because of a message itself, without its user. */
  readonly answers: number
  /** Such messages within one thread, of all its peers together. */
  readonly thread: number
  readonly windowMs: number
  /** Messages that each caused the next, since a user last had a word in it. */
  readonly hops: number
}

/** What nobody at work reaches, and a loop within minutes. */
export const defaultBudget: Budget = { messages: 300, answers: 40, thread: 60, windowMs: 600_000, hops: 16 }

const mostAccounts = 512

/** Whose messages wait, and how many. */
interface HeldBack {
  readonly whose: string
  readonly messages: number
}

/** Holds back the messages of a peer or a thread that is over its budget, later ones behind them, until a person lets them through. */
export class Guard {
  readonly #clock: Clock
  readonly #budget: Budget
  readonly #threads: Threads
  readonly #peers = new Map<SessionPubkey, Account>()
  readonly #byThread = new Map<string, Account>()

  constructor(clock: Clock, budget: Budget, threads: Threads) {
    this.#clock = clock
    this.#budget = budget
    this.#threads = threads
  }

  /** Counts a message that came, once. */
  take(message: ReceivedMessage): void {
    const { id, from, hops } = message
    const { messages, answers, thread } = this.#budget
    const since = this.#clock.now() - this.#budget.windowMs
    const now = this.#clock.now()
    const peer = this.#of(this.#peers, from.session, from.name)
    const tooMany = peer.count('messages', now, since) > messages
    const tooManyAnswers = hops > 0 && peer.count('answers', now, since) > answers
    if (tooMany || tooManyAnswers || hops > peer.hops) peer.hold(id)
    else peer.holdBehind(id)
    this.#forgetQuiet(since)
    if (hops === 0) return
    const together = this.#of(this.#byThread, this.#threads.of(message), from.name)
    if (together.count('answers', now, since) > thread) together.hold(id)
    else together.holdBehind(id)
  }

  holds(message: ReceivedMessage): boolean {
    const { id, from } = message
    return (this.#peers.get(from.session)?.holds(id) ?? false) || (this.#byThread.get(this.#threads.of(message))?.holds(id) ?? false)
  }

  /** It was read after all. */
  forget(ids: readonly MessageId[]): void {
    for (const account of this.#accounts) account.forget(ids)
  }

  /** A person lets everything through: each peer and each thread has a whole budget again. */
  release(hopsNow: number): void {
    for (const account of this.#accounts) account.release(hopsNow, this.#budget.hops)
  }

  /** Who is held back, each told once until the next release. */
  news(): HeldBack[] {
    const fresh = this.#accounts.filter((account) => account.tell())
    return fresh.map((account) => ({ whose: account.whose, messages: account.size }))
  }

  get #accounts(): Account[] {
    return [...this.#peers.values(), ...this.#byThread.values()]
  }

  /** Threads, and sessions that live for one command, come without end. */
  #forgetQuiet(since: number): void {
    for (const accounts of [this.#peers, this.#byThread] as Map<string, Account>[]) {
      if (accounts.size <= mostAccounts) continue
      for (const [key, account] of accounts) if (account.isQuiet(since)) accounts.delete(key)
    }
  }

  #of<K>(accounts: Map<K, Account>, key: K, name: string): Account {
    const account = accounts.get(key) ?? new Account(this.#budget.hops)
    accounts.set(key, account)
    account.names.add(name)
    return account
  }
}
