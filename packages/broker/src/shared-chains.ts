/** Certificates that many sessions have in their chains, kept once: of the newest ones, as many as it may remember. */
export class SharedChains {
  readonly #most: number
  readonly #tokens = new Map<string, string>()

  constructor(most: number) {
    this.#most = most
  }

  get size(): number {
    return this.#tokens.size
  }

  /** The same chain, made of tokens that others have, where they are known. The last one is the session's own. */
  share(chain: readonly string[]): string[] {
    return chain.map((token, i) => (i === chain.length - 1 ? token : this.#kept(token)))
  }

  #kept(token: string): string {
    const known = this.#tokens.get(token)
    if (known !== undefined) return known
    this.#tokens.set(token, token)
    for (const oldest of this.#tokens.keys()) {
      if (this.#tokens.size <= this.#most) break
      this.#tokens.delete(oldest)
    }
    return token
  }
}
