import type { Body, Event, Feature, Input, Member, Notice, Output, Request } from '@claudemesh/protocol'

type Handler<M, C> = M extends Request
  ? (context: C, input: Input<M>) => Output<M> | Promise<Output<M>>
  : M extends Notice
    ? (context: C, body: Body<M>) => void | Promise<void>
    : never

/** The keys of a noun that a broker answers. */
export type Answerable<F extends Feature> = { [K in keyof F]: F[K] extends Event ? never : K }[keyof F]

/** One handler per request and notice of a contract noun; a missing one does not compile. */
export type Handlers<F extends Feature, C, K extends keyof F = Answerable<F>> = { readonly [P in K]: Handler<F[P], C> }

/** What a feature's handlers look like to the dispatcher, which has checked the input already. */
export type AnyHandler<C> = (context: C, input: never) => unknown

/** Finds handlers by contract member. */
export function tableOf<C>(pairs: readonly (readonly [Feature, object])[]): ReadonlyMap<Member, AnyHandler<C>> {
  const table = new Map<Member, AnyHandler<C>>()
  for (const [feature, handlers] of pairs) {
    for (const [key, handler] of Object.entries(handlers)) {
      const member = feature[key]
      if (member) table.set(member, handler as AnyHandler<C>)
    }
  }
  return table
}
