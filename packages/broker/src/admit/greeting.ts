import { MeshError, times } from '@claudemesh/protocol'
import type { Greeting } from '../kernel.ts'

/** Checks what every greeting signs beside its keys: that it was made for this broker, by a clock that agrees with ours. */
export function checkTranscript({ kernel }: Greeting, { aud, timestamp }: { aud: string; timestamp: number }): void {
  if (!kernel.audiences.has(aud)) throw new MeshError('bad_audience', `this broker is not ${JSON.stringify(aud)}; its public address must be configured`)
  if (Math.abs(timestamp - kernel.clock.now()) > times.skew) throw new MeshError('clock_skew')
}
