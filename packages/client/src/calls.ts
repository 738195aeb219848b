import type { Feature, Input, Output, Request } from '@claudemesh/protocol'

type Call<M> = M extends Request ? (input: Input<M>) => Promise<Output<M>> : never

/** The contract's requests as functions: `calls.groups.join({ … })`. Notices and events have none. */
export type Calls<C extends Record<string, Feature>> = { readonly [F in keyof C]: { readonly [K in keyof C[F]]: Call<C[F][K]> } }

/** Derives the functions from the table; `ask` sends one request and checks its answer. */
export function callsOf<C extends Record<string, Feature>>(contract: C, ask: (request: Request, input: Record<string, unknown>) => Promise<unknown>): Calls<C> {
  const features = Object.entries(contract).map(([noun, feature]) => {
    const verbs = Object.entries(feature).flatMap(([verb, member]) =>
      member.kind === 'request' ? [[verb, (input: Record<string, unknown>) => ask(member, input)] as const] : [],
    )
    return [noun, Object.fromEntries(verbs)] as const
  })
  return Object.fromEntries(features) as Calls<C>
}
