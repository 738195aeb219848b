import type { Clock } from '@claudemesh/protocol'
import type { Meter } from './meter.ts'

/** What the store is asked, as the metrics tell it apart: new messages, receipts, a piece of other work in its turn, a page of a queue, what others wrote, the sweep. */
export type Asking = 'messages' | 'receipts' | 'task' | 'queue' | 'look' | 'sweep'

/** Does work that asks the store, and tells how long that took, be it for nothing. */
export async function asked<T>({ clock, meter }: { readonly clock: Clock; readonly meter: Meter }, kind: Asking, work: () => Promise<T>): Promise<T> {
  const began = clock.now()
  try {
    return await work()
  } finally {
    meter.observe('store_seconds', Math.max(0, clock.now() - began) / 1000, kind)
  }
}
