/** The tokens of one frame: what several entries share is listed once, and named by its place. */
export class TokenTable {
  readonly tokens: string[] = []
  readonly #places = new Map<string, number>()

  place(token: string): number {
    const known = this.#places.get(token)
    if (known !== undefined) return known
    this.#places.set(token, this.tokens.length)
    return this.tokens.push(token) - 1
  }
}
