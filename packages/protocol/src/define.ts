import { z } from 'zod'

/** When the broker answers a request: before a valid hello, after it, or both. */
export type Phase = 'greeting' | 'ready'

export interface Request<T extends string = string, I extends z.ZodObject = z.ZodObject, R extends string = string, O extends z.ZodObject = z.ZodObject> {
  readonly kind: 'request'
  /** The wire name. */
  readonly type: T
  readonly doc: string
  readonly phase: Phase
  readonly input: I
  /** The wire name of the answer. */
  readonly reply: R
  readonly output: O
}

/** From client to broker, without an answer. */
export interface Notice<T extends string = string, B extends z.ZodObject = z.ZodObject> {
  readonly kind: 'notice'
  readonly type: T
  readonly doc: string
  readonly body: B
}

/** From broker to client, unasked. */
export interface Event<T extends string = string, B extends z.ZodObject = z.ZodObject> {
  readonly kind: 'event'
  readonly type: T
  readonly doc: string
  readonly body: B
}

export type Member = Request | Notice | Event
export type Feature = Readonly<Record<string, Member>>

const none = {} as const

/** Declares a request and its answer. Without `output` the answer is an empty `ok`. */
export function request<const T extends string, I extends z.ZodRawShape, const R extends string = 'ok', O extends z.ZodRawShape = typeof none>(
  type: T,
  def: { doc: string; input: I; reply?: R; output?: O; phase?: Phase },
): Request<T, z.ZodObject<I>, R, z.ZodObject<O>> {
  return {
    kind: 'request',
    type,
    doc: def.doc,
    phase: def.phase ?? 'ready',
    input: z.object(def.input),
    reply: def.reply ?? ('ok' as R),
    output: z.object(def.output ?? ({} as O)),
  }
}

export function notice<const T extends string, B extends z.ZodRawShape>(type: T, def: { doc: string; body: B }): Notice<T, z.ZodObject<B>> {
  return { kind: 'notice', type, doc: def.doc, body: z.object(def.body) }
}

export function event<const T extends string, B extends z.ZodRawShape>(type: T, def: { doc: string; body: B }): Event<T, z.ZodObject<B>> {
  return { kind: 'event', type, doc: def.doc, body: z.object(def.body) }
}

/** A verb of the model and of the shell: the input of an MCP tool and of `claudemesh call`. */
export interface Tool<N extends string = string, I extends z.ZodObject = z.ZodObject> {
  readonly name: N
  readonly doc: string
  readonly input: I
}

export function tool<const N extends string, I extends z.ZodRawShape>(name: N, def: { doc: string; input: I }): Tool<N, z.ZodObject<I>> {
  return { name, doc: def.doc, input: z.object(def.input) }
}

export type Input<M> = M extends Request<string, infer I> ? z.infer<I> : never
export type Output<M> = M extends Request<string, z.ZodObject, string, infer O> ? z.infer<O> : never
export type Body<M> = M extends Event<string, infer B> ? z.infer<B> : M extends Notice<string, infer B> ? z.infer<B> : never
export type ToolInput<M> = M extends Tool<string, infer I> ? z.infer<I> : never
