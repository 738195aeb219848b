import { z } from 'zod'

const b64u = (bytes: number) => {
  const chars = Math.ceil((bytes * 4) / 3)
  return z.string().regex(new RegExp(`^[A-Za-z0-9_-]{${chars}}$`), `expected ${bytes} bytes in base64url`)
}

/** `base32lower(BLAKE2b-160("cm1:mesh\0" ‖ rootPub))`, 32 characters. */
export const meshId = z
  .string()
  .regex(/^[a-z2-7]{32}$/, 'expected a mesh id')
  .brand('MeshId')
/** Derived from mesh and member key: 22 characters of base64url. */
export const memberId = b64u(16).brand('MemberId')
/** One connection of one session. */
export const presenceId = b64u(16).brand('PresenceId')
/** Derived from sender and the sender's own id for the message, so that repeating a send cannot store it twice. */
export const messageId = b64u(16).brand('MessageId')
/** The sender's id for a message: 16 random bytes, repeated inside the seal. */
export const clientId = b64u(16).brand('ClientId')
/** `f_` and 16 random bytes in base32, chosen by whoever uploads. */
export const fileId = z
  .string()
  .regex(/^f_[a-z2-7]{26}$/, 'expected a file id')
  .brand('FileId')
/** A keyed hash of a state key's name: its row at the broker. */
export const stateId = b64u(16).brand('StateId')
export const rootPubkey = b64u(32).brand('RootPubkey')
export const memberPubkey = b64u(32).brand('MemberPubkey')
export const invitePubkey = b64u(32).brand('InvitePubkey')
export const sessionPubkey = b64u(32).brand('SessionPubkey')

/** One memory of a mesh: 16 random bytes, chosen by whoever remembers. */
export const memoryId = b64u(16).brand('MemoryId')

export type MeshId = z.infer<typeof meshId>
export type MemberId = z.infer<typeof memberId>
export type PresenceId = z.infer<typeof presenceId>
export type MessageId = z.infer<typeof messageId>
export type MemoryId = z.infer<typeof memoryId>
export type ClientId = z.infer<typeof clientId>
export type FileId = z.infer<typeof fileId>
export type StateId = z.infer<typeof stateId>
export type RootPubkey = z.infer<typeof rootPubkey>
export type MemberPubkey = z.infer<typeof memberPubkey>
export type InvitePubkey = z.infer<typeof invitePubkey>
export type SessionPubkey = z.infer<typeof sessionPubkey>
/** Whom a message is sealed for: a session, or as mail a member. */
export type RecipientPubkey = SessionPubkey | MemberPubkey
