import { Child } from '../bench/relay/child.ts'
import type { Left, Wish } from './load.ts'
import type { Counted } from './tally.ts'

const pairs = 50
/** Under way per pair while the measure is taken: less than a broker lets wait for its store. */
const depth = 16
const replaceEvery = 1000

/** Load from a process of its own, a share of what the broker takes. */
export class Generator implements AsyncDisposable {
  readonly #child = new Child(new URL('load.ts', import.meta.url))

  /** Its sessions come, at the port of a broker that knows itself by the url. */
  async come(port: number, url: string): Promise<void> {
    await this.#ask({ do: 'come', port, url, pairs })
  }

  /** How many durable sends per second the broker acknowledges, beside all else that it does now. */
  async measure(seconds: number): Promise<number> {
    return (await this.#ask<{ perSecond: number }>({ do: 'measure', depth, seconds })).perSecond
  }

  async offer(perSecond: number): Promise<void> {
    await this.#ask({ do: 'offer', perSecond, replaceEvery })
  }

  /** What it saw since the last time. */
  async count(): Promise<Counted> {
    return this.#ask<Counted>({ do: 'count' })
  }

  /** Its sessions leave, once nothing is under way. */
  async leave(): Promise<Left> {
    return this.#ask<Left>({ do: 'leave' })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#child[Symbol.asyncDispose]()
  }

  async #ask<T>(wish: Wish): Promise<T> {
    return this.#child.ask<T>(wish)
  }
}
