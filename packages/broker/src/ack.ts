import type { ClientId, MessageId, SessionPubkey } from '@claudemesh/protocol'
import { peerTable, type Presence } from './presence.ts'

/** An `ack` frame as text; `id` is the request's, which needs no escaping. */
export function ackText(
  id: ClientId,
  messageId: MessageId,
  queued: number,
  isVolatile: boolean,
  absent: readonly Presence[],
  gone: readonly SessionPubkey[],
): string {
  const table = absent.length === 0 ? undefined : peerTable(absent)
  return `{"type":"ack","id":"${id}","messageId":"${messageId}","queued":${queued}${isVolatile ? ',"volatile":true' : ''},"missing":${
    table ? JSON.stringify(table.peers) : '[]'
  },"tokens":${table ? JSON.stringify(table.tokens) : '[]'},"gone":${gone.length === 0 ? '[]' : JSON.stringify(gone)}}`
}
