import type { MessageId, SessionPubkey } from '@claudemesh/protocol'
import { peerTable, type Presence } from './presence.ts'

/** An `ack` frame as text; `id` is the request's. */
export function ackText(
  id: string,
  messageId: MessageId,
  queued: number,
  isVolatile: boolean,
  absent: readonly Presence[],
  gone: readonly SessionPubkey[],
): string {
  const table = absent.length === 0 ? undefined : peerTable(absent)
  return `{"type":"ack","id":${JSON.stringify(id)},"messageId":"${messageId}","queued":${queued}${isVolatile ? ',"volatile":true' : ''},"missing":${
    table ? JSON.stringify(table.peers) : '[]'
  },"tokens":${table ? JSON.stringify(table.tokens) : '[]'},"gone":${gone.length === 0 ? '[]' : JSON.stringify(gone)}}`
}
