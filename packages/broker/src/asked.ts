import { MeshError, type Clock } from '@claudemesh/protocol'
import type { Meter } from './meter.ts'
import { storeFailure } from './store-failure.ts'
import type { Facts, Span, Tracer } from './tracing.ts'

/** What the store is asked, as metrics and traces tell it apart: new messages, receipts, a page of a queue, a piece of other work in its turn, what others wrote, the sweep. */
export type Asking = 'messages' | 'receipts' | 'queue' | 'task' | 'look' | 'sweep'

/** Who is told how long it took. */
export interface Watching {
  readonly clock: Clock
  readonly meter: Meter
  readonly tracer: Tracer | undefined
}

// What is done all the time, and nobody waits for, is no trace of its own.
const traced: ReadonlySet<Asking> = new Set<Asking>(['messages', 'receipts', 'queue'])

/** Does work that asks the store, and tells how long that took, be it for nothing. */
export async function asked<T>(
  { clock, meter, tracer }: Watching,
  kind: Asking,
  work: () => Promise<T>,
  { facts, causes }: { readonly facts?: Facts; readonly causes?: () => readonly (Span | undefined)[] } = {},
): Promise<T> {
  const began = clock.now()
  const span = tracer && traced.has(kind) ? tracer.begin(`store ${kind}`, facts, ...(causes?.() ?? [])) : undefined
  try {
    const result = await work()
    span?.end()
    return result
  } catch (error) {
    span?.end({ code: codeOf(error) })
    throw error
  } finally {
    meter.observe('store_seconds', Math.max(0, clock.now() - began) / 1000, kind)
  }
}

/** The name under which a failure is told to clients. */
export function codeOf(error: unknown): string {
  return error instanceof MeshError ? error.code : (storeFailure(error)?.code ?? 'internal')
}
