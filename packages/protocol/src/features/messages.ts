import { z } from 'zod'
import { event, notice, request, tool } from '../define.ts'
import { bytes, chain, deliveryState, exactBytes, millis, peer, priority, recipientState, route, token } from '../fields.ts'
import { clientId, meshId, messageId, sessionPubkey } from '../ids.ts'
import { limits } from '../limits.ts'

const recipients = bytes(limits.recipients * 32)
const wraps = bytes(limits.recipients * 88)

const ack = {
  messageId,
  queued: z.int().describe('Recipients for whom the message now survives a crash of the broker. 0 for a volatile send.'),
  volatile: z.boolean().optional().describe('True when nothing was stored: it reached who was connected, no more is claimed.'),
  missing: z.array(peer).describe('Sessions that match targetSpec at the broker, but were not wrapped for.'),
  tokens: z.array(token),
  gone: z.array(sessionPubkey).describe('Recipients the broker does not know, or no longer.'),
}

export const messages = {
  send: request('send', {
    doc: 'Sends one sealed envelope to the recipients it names. Answered after the commit. Repeating the same id repeats the answer, not the message. After a hello with `inOrder`, one that is refused for now (`rate_limited` or `overloaded` with a `retryAfter` of up to 5 s, `storage_unavailable`, `storage_full`) keeps its place: until it comes again, or for two seconds, the stored ones behind it are refused alike. Volatile ones neither wait nor keep a place.',
    input: {
      id: clientId,
      targetSpec: z.union([route, z.array(route).min(1).max(limits.targets)]),
      priority,
      volatile: z.boolean().optional(),
      nonce: exactBytes(24),
      to: recipients.describe('Recipients’ session keys, 32 bytes each; the last `members` of them are member keys.'),
      members: z
        .int()
        .min(1)
        .max(limits.recipients)
        .optional()
        .describe('So many recipients are members: mail, kept for the next session of each that shows mail.'),
      wraps: wraps.optional().describe('One wrap of 88 bytes per recipient; absent when the ciphertext itself is boxed for the single one.'),
      forward: z
        .object({ sessionPubkey, chain, presence: token })
        .optional()
        .describe('Another session of the same member sealed this and could not send it: its key, and what proves it.'),
      ciphertext: bytes(limits.message * 1.2 + 4096),
    },
    reply: 'ack',
    output: ack,
  }),
  sendMore: request('send_more', {
    doc: 'Adds recipients to a message of the last 30 s: wraps only, the body is the stored one.',
    input: { messageId, to: recipients, wraps },
    reply: 'ack',
    output: ack,
  }),
  push: event('push', {
    doc: 'An envelope for this session. It comes again on each new connection until it is surfaced or refused, so it may repeat.',
    body: {
      messageId,
      id: clientId,
      meshId,
      senderPubkey: sessionPubkey,
      priority,
      targetSpec: z.union([route, z.array(route)]),
      createdAt: millis,
      nonce: exactBytes(24),
      wrap: exactBytes(88).optional(),
      mail: z.boolean().optional().describe('Wrapped for the member, not for this session. No other session is pushed it until this one ends.'),
      chain: chain.optional().describe('The sender’s chain and last presence, when the recipient may not have met it.'),
      presence: token.optional(),
      ciphertext: bytes(limits.message * 1.2 + 4096).optional(),
      plain: z.string().max(limits.message).optional().describe('Unsealed text: delivered only where the signed policy allows it.'),
    },
  }),
  receipt: notice('receipt', {
    doc: 'The client opened and verified these messages (received), showed them to their reader (surfaced), or refused them by name (failed). What is received stays queued.',
    body: {
      received: z.array(messageId).max(limits.receiptsPerFrame),
      surfaced: z.array(messageId).max(limits.receiptsPerFrame).optional(),
      failed: z.array(z.object({ messageId, reason: z.string().max(64) })).max(limits.receiptsPerFrame),
    },
  }),
  delivery: event('delivery', {
    doc: 'Messages of this session reached a new rung at their recipients, in batches.',
    body: { updates: z.array(deliveryState) },
  }),
  status: request('message_status', {
    doc: 'The rung of a sent message per recipient. Any session of the sending member may ask.',
    input: { messageId },
    reply: 'message_status_result',
    output: {
      messageId,
      storedAt: millis.optional(),
      delivered: z.boolean(),
      deliveredAt: millis.optional(),
      recipients: z.array(
        recipientState.extend({
          receivedAt: millis.optional().describe('When it came to that rung, also where it stands higher now.'),
          connected: z.boolean(),
        }),
      ),
    },
  }),
}

/** What a recipient’s client seals to the sender, as a message of the kind `receipt`: the ids that were shown to their reader, and those that wait for long. */
export const sealedReceipt = z.object({
  surfaced: z.array(messageId).max(limits.receiptsPerFrame),
  held: z.array(messageId).max(limits.receiptsPerFrame).optional(),
})

const target = z.string().min(1).max(160)

export const messageTools = {
  send: tool('send_message', {
    doc: 'Send an end-to-end encrypted message to peers: a name, "@group", "*" (everyone), or an array of these. You are never among the recipients.',
    input: {
      to: z.union([target, z.array(target).min(1).max(limits.targets)]).describe('Name, @group, * or an array of these'),
      message: z.string().min(1).describe('The text, up to 64 KiB'),
      priority: priority.optional().describe('now = urgent, comes even through dnd; next = normal (default); low = FYI, does not wake an idle peer'),
      re: z.string().max(64).optional().describe('The id of the message this one answers'),
      durable: z
        .boolean()
        .optional()
        .describe(
          'If nobody online bears the name but a member does, keep it up to 7 days for their next session. Sealed to their lasting member key: less forward secrecy',
        ),
      file: z.string().min(1).max(4096).optional().describe('A file to attach, for the recipients alone'),
      files: z.array(z.string().min(1).max(4096)).min(1).max(limits.filesPerMessage).optional().describe('Several files to attach'),
    },
  }),
  check: tool('check_messages', {
    doc: 'Read the messages that wait for you, oldest first, and mark them read.',
    input: {},
  }),
  status: tool('message_status', {
    doc: 'Delivery status of a message you sent, per recipient: stored, received, surfaced, answered, or failed with the reason.',
    input: { id: z.string().max(64).describe('The message id that send_message returned') },
  }),
}
