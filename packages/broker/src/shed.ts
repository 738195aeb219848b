import type { Ready } from './kernel.ts'
import { overloaded } from './load.ts'
import { refusalText } from './refusal.ts'
import { glance } from './scan.ts'
import type { SendOrder } from './send-order.ts'

/** The answer to a send that is refused anyway, found before it is read: that must cost little. Undefined when it has to be read. */
export function shed(context: Ready, order: SendOrder | undefined, data: Buffer): string | undefined {
  const { kernel, mesh } = context
  const now = kernel.clock.now()
  const why = kernel.limiter.exhausted(context, now) ?? (!kernel.load.easy && kernel.load.full(mesh.id, now) ? overloaded : undefined)
  const seen = why || order?.waits ? glance(data) : undefined
  if (!seen) return undefined
  const refusal = seen.volatile ? why : (order?.before(seen.id, kernel.clock) ?? why)
  // A volatile message needs no room in the store.
  if (!refusal || (refusal === overloaded && seen.volatile)) return undefined
  if (refusal === why && !seen.volatile) order?.refused(seen.id, refusal, kernel.clock)
  if (refusal.code === 'overloaded') kernel.load.refused()
  kernel.meter.count('refusals', refusal.code)
  return refusalText(refusal, seen.id)
}
