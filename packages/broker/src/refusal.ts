import type { ErrorCode } from '@claudemesh/protocol'

/** The fields of an error, of characters that need no escape. */
export interface Refusal {
  readonly code: ErrorCode
  readonly message: string
  readonly retryAfter: number | undefined
}

/** The frame that refuses the request of this id. */
export const refusalText = ({ code, message, retryAfter }: Refusal, id: string): string =>
  `{"type":"error","code":"${code}","message":"${message}",${retryAfter === undefined ? '' : `"retryAfter":${retryAfter},`}"id":"${id}"}`
