import { TokenTable } from './token-table.ts'

/** Chains as indexes into one list, in which a token that several share stands once. */
export function shared(chains: readonly (readonly string[])[]): { chains: number[][]; tokens: string[] } {
  const table = new TokenTable()
  return { chains: chains.map((chain) => chain.map((token) => table.place(token))), tokens: table.tokens }
}
