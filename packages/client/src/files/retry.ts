import { MeshError, type ErrorCode } from '@claudemesh/protocol'
import { backoff } from '../backoff.ts'
import type { Kernel } from '../kernel.ts'

/** A transfer that was cut may go on; these say that it was. */
const cut: ReadonlySet<ErrorCode> = new Set(['unavailable', 'storage_unavailable', 'timeout', 'wrong_offset', 'rate_limited', 'shutting_down'])
const patience = 6

/** Runs `attempt` until it succeeds, as long as it gets further: at once after progress, else later and later, six times at most. */
export async function goingOn<T>(kernel: Kernel, moved: () => number, attempt: () => Promise<T>): Promise<T> {
  let before = moved()
  for (let failures = 0; ;) {
    try {
      return await attempt()
    } catch (error) {
      if (!(error instanceof MeshError) || !cut.has(error.code)) throw error
      const progress = moved() > before
      before = moved()
      failures = progress ? 0 : failures + 1
      if (failures === patience) throw error
      kernel.log('info', 'transfer_cut', { code: error.code, failures })
      if (!progress) await new Promise<void>((resolve) => kernel.options.clock.after(error.retryAfter ?? backoff(failures, kernel.random), resolve))
    }
  }
}
