import type { OutgoingHttpHeaders, ServerResponse } from 'node:http'
import { MeshError, toErrorFrame, type ErrorCode } from '@claudemesh/protocol'
import { causeOf } from '../cause.ts'
import type { Kernel } from '../kernel.ts'

/** What every answer bears: nothing of it is stored, sniffed, framed or run. */
export const guards: OutgoingHttpHeaders = {
  'cache-control': 'no-store',
  'x-content-type-options': 'nosniff',
  'content-security-policy': "default-src 'none'; sandbox",
}

/** Answers with JSON and ends the connection: what else it may send is not read. */
export function reply(response: ServerResponse, status: number, body: unknown, headers: OutgoingHttpHeaders = {}): void {
  response.writeHead(status, { 'content-type': 'application/json; charset=utf-8', ...guards, connection: 'close', ...headers })
  response.end(JSON.stringify(body))
}

const statuses: Partial<Record<ErrorCode, number>> = {
  unauthorized: 401,
  bad_audience: 401,
  clock_skew: 401,
  forbidden: 403,
  not_found: 404,
  wrong_offset: 409,
  upload_incomplete: 409,
  too_large: 413,
  rate_limited: 429,
  storage_unavailable: 503,
  storage_full: 507,
  internal: 500,
}

/** Answers with a named error; the unexpected becomes `internal`, and its cause stays in the log. The rest of a body is not read. */
export function replyError(kernel: Kernel, response: ServerResponse, error: unknown, headers: OutgoingHttpHeaders = {}): void {
  if (!(error instanceof MeshError)) kernel.log('error', 'http_failed', { cause: causeOf(error) })
  if (response.headersSent || response.destroyed) {
    response.destroy()
    return
  }
  const { code, message, retryAfter } = toErrorFrame(error)
  const later = error instanceof MeshError && error.retry === 'later' ? { 'retry-after': String(Math.ceil((retryAfter ?? 5000) / 1000)) } : {}
  reply(response, statuses[code as ErrorCode] ?? 400, { code, message, ...(retryAfter === undefined ? {} : { retryAfter }) }, { ...later, ...headers })
}
