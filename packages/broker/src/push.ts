import type { ClientId, MeshId, MessageId, Priority, SessionPubkey } from '@claudemesh/protocol'

/** A push frame's beginning, up to where `wrap` and `ciphertext` follow. Every field is checked text that needs no escaping; `targetSpec` is JSON. */
export function pushHead(
  meshId: MeshId,
  m: { messageId: MessageId; id: ClientId; senderPubkey: SessionPubkey; priority: Priority; targetSpec: string; createdAt: number; nonce: string },
): string {
  return `{"type":"push","messageId":"${m.messageId}","id":"${m.id}","meshId":"${meshId}","senderPubkey":"${m.senderPubkey}","priority":"${m.priority}","targetSpec":${m.targetSpec},"createdAt":${m.createdAt},"nonce":"${m.nonce}"`
}

/** Tells the client that the wrap is for its member. */
export const mailMark = ',"mail":true'

/** A push frame's end, which all recipients of one message share. */
export function tailOf(ciphertext: string): string {
  return `,"ciphertext":"${ciphertext}"}`
}
