import type { ErrorCode } from './errors.ts'
import { times } from './limits.ts'

/** As much of a refusal as tells what its sender does about it. */
export interface Refused {
  readonly code: ErrorCode
  readonly retryAfter?: number | undefined
}

/** Whether clients wait this refusal out and send the same again; whoever is to wait longer is told so instead. */
export const isPutOff = ({ code, retryAfter = 0 }: Refused): boolean =>
  (code === 'rate_limited' || code === 'overloaded') && retryAfter > 0 && retryAfter <= times.putOff

/** Whether the broker could not store a message for now: clients with an outbox keep it there and send it again. */
export const isStorageAway = ({ code }: Pick<Refused, 'code'>): boolean => code === 'storage_unavailable' || code === 'storage_full'
