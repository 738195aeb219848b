import { closeCodes, MeshError } from '@claudemesh/protocol'
import type { Session } from './session.ts'

/** How many connections may be open that have not proven anything, in all and per address. */
export interface GreetingCaps {
  readonly total: number
  readonly perAddress: number
}

/** The connections in greeting, longest first. One address has its share of them; where all are taken, whoever has been silent for the longest makes room. */
export class Greeters {
  readonly #caps: GreetingCaps
  readonly #addresses = new Map<Pick<Session, 'unheard' | 'refuse'>, string>()
  readonly #byAddress = new Map<string, number>()

  constructor(caps: GreetingCaps) {
    this.#caps = caps
  }

  get size(): number {
    return this.#addresses.size
  }

  /** Whether one more may come from this address. */
  admits(address: string): boolean {
    if ((this.#byAddress.get(address) ?? 0) >= this.#caps.perAddress) return false
    return this.size < this.#caps.total || this.#makeRoom()
  }

  add(session: Pick<Session, 'unheard' | 'refuse'>, address: string): void {
    this.#addresses.set(session, address)
    this.#byAddress.set(address, (this.#byAddress.get(address) ?? 0) + 1)
  }

  /** It is in greeting no longer. */
  remove(session: Pick<Session, 'unheard' | 'refuse'>): void {
    const address = this.#addresses.get(session)
    if (address === undefined) return
    this.#addresses.delete(session)
    const left = (this.#byAddress.get(address) ?? 1) - 1
    if (left === 0) this.#byAddress.delete(address)
    else this.#byAddress.set(address, left)
  }

  #makeRoom(): boolean {
    for (const session of this.#addresses.keys()) {
      if (!session.unheard) continue
      session.refuse(new MeshError('hello_timeout', 'too many wait here without a word: say hello at once'), closeCodes.helloTimeout)
      return true
    }
    return false
  }
}
