import type { ClientId, MeshId, MessageId, Priority, SessionPubkey } from '@claudemesh/protocol'

/** A push frame's beginning, up to where `wrap` and `ciphertext` follow. Every field is checked text that needs no escaping; `targetSpec` is JSON. */
export function pushHead(
  meshId: MeshId,
  m: { messageId: MessageId; id: ClientId; senderPubkey: SessionPubkey; priority: Priority; targetSpec: string; createdAt: number; nonce: string },
): string {
  return `{"type":"push","messageId":"${m.messageId}","id":"${m.id}","meshId":"${meshId}","senderPubkey":"${m.senderPubkey}","priority":"${m.priority}","targetSpec":${m.targetSpec},"createdAt":${m.createdAt},"nonce":"${m.nonce}"`
}

const lead = Buffer.from(`{"type":"push","messageId":"${'-'.repeat(22)}",`)
const idAt = lead.indexOf('-')

/** What a sender's pushes all have in common, up to the time. */
export const originOf = (meshId: MeshId, senderPubkey: SessionPubkey): Buffer =>
  Buffer.from(`,"meshId":"${meshId}","senderPubkey":"${senderPubkey}","createdAt":`, 'latin1')

/** The same beginning from bytes: `core` is `"id":…` to `"nonce":…` as the sender wrote it. */
export function pushHeadOf(messageId: MessageId, core: Buffer, origin: Buffer, createdAt: number): Buffer {
  const time = String(createdAt)
  const head = Buffer.allocUnsafe(lead.length + core.length + origin.length + time.length)
  head.set(lead)
  head.write(messageId, idAt, 'latin1')
  head.set(core, lead.length)
  head.set(origin, lead.length + core.length)
  head.write(time, lead.length + core.length + origin.length, 'latin1')
  return head
}

/** Tells the client that the wrap is for its member. */
export const mailMark = ',"mail":true'

/** A push frame's end, which all recipients of one message share. */
export function tailOf(ciphertext: string): string {
  return `,"ciphertext":"${ciphertext}"}`
}
