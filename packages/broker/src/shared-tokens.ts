/** Chains as indexes into one list, in which a token that several share stands once. */
export function shared(chains: readonly (readonly string[])[]): { chains: number[][]; tokens: string[] } {
  const tokens: string[] = []
  const places = new Map<string, number>()
  const place = (token: string): number => {
    const known = places.get(token)
    if (known !== undefined) return known
    places.set(token, tokens.length)
    return tokens.push(token) - 1
  }
  return { chains: chains.map((chain) => chain.map(place)), tokens }
}
