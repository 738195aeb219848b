import { z } from 'zod'
import { limits } from './limits.ts'
import { messageId, sessionPubkey } from './ids.ts'

/** Canonical base64url of any length up to `max` bytes. */
export const bytes = (max: number) =>
  z
    .string()
    .max(Math.ceil((max * 4) / 3), `over ${Math.floor(max)} bytes`)
    .regex(/^[A-Za-z0-9_-]*$/, 'expected base64url')

/** Base64url of exactly `n` bytes. */
export const exactBytes = (n: number) => bytes(n).length(Math.ceil((n * 4) / 3), `expected ${n} bytes in base64url`)

export const millis = z.int().nonnegative()

const signed = (max: number) =>
  z
    .string()
    .max(max)
    .regex(/^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)?$/, 'expected a signed token')

/** A signed token of crypto.md §2.0: `payload.signature[.possession]`. */
export const token = signed(limits.tokenChars)

/** The same of a policy, which grows with every key that is revoked. */
export const policyToken = signed(limits.policyTokenChars)

/** What the mesh's key seals for everybody in it: epoch, nonce and ciphertext. */
export const sealedRecord = (max: number) => z.object({ e: z.int().positive(), n: exactBytes(24), c: bytes(max) })

export const chain = z.array(token).min(1).max(limits.chainTokens)

/** One address of a `send`: everybody, a group, or a session. */
export const route = z
  .string()
  .max(80)
  .regex(/^(\*|@.{1,64}|[A-Za-z0-9_-]{43})$/u, 'expected *, @group or a session key')

export const priority = z.enum(['now', 'next', 'low'])
export type Priority = z.infer<typeof priority>

export const status = z.enum(['idle', 'working', 'waiting', 'dnd'])
export type Status = z.infer<typeof status>

/** The ladder: what is known of one message at one recipient, lowest first; `failed` stands beside it. */
export const rung = z.enum(['stored', 'received', 'surfaced', 'answered', 'failed'])
export type Rung = z.infer<typeof rung>

/** A chain as indexes into the tokens of the same frame, root side first. */
export const chainIndexes = z.array(z.int().nonnegative()).min(1).max(limits.chainTokens)

/** A peer as the broker tells of it. Only `chain` and `presence` are proof; `status` and `connected` are the broker's word. */
export const peer = z.object({
  sessionPubkey,
  chain: chainIndexes.min(2).describe('Indexes into the tokens of the same frame, root side first, ending in the session certificate.'),
  presence: token,
  status,
  since: millis.optional().describe('When the status was set, if this broker saw it.'),
  connected: z.boolean(),
})
export type PeerFrame = z.infer<typeof peer>

export const recipientState = z.object({
  sessionPubkey,
  rung,
  at: millis,
  reason: z.string().optional(),
  mail: z.boolean().optional().describe('The recipient is a member, and sessionPubkey its member key.'),
})
export type RecipientState = z.infer<typeof recipientState>

export const deliveryState = recipientState.extend({ messageId })
export type DeliveryState = z.infer<typeof deliveryState>
