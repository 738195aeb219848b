import type { InvitePubkey, MemberId, MemberPubkey, MeshId, RootPubkey, SessionPubkey } from '@claudemesh/protocol'
import { fromB64u, toB64u } from './base64.ts'
import { hash, sodium } from './sodium.ts'

/** An Ed25519 key pair: the public key in base64url, the secret key as libsodium's 64 bytes (seed ‖ public key). */
export interface KeyPair<P> {
  readonly publicKey: P
  readonly secretKey: Uint8Array
}

export type RootKey = KeyPair<RootPubkey>
export type MemberKey = KeyPair<MemberPubkey>
export type InviteKey = KeyPair<InvitePubkey>
export type SessionKey = KeyPair<SessionPubkey>

function fromSeed<P extends string>(seed: Uint8Array): KeyPair<P> {
  const pair = sodium.crypto_sign_seed_keypair(seed)
  return { publicKey: toB64u(pair.publicKey) as P, secretKey: pair.privateKey }
}

/** A mesh's root key from 32 secret bytes. */
export const rootKey = (seed: Uint8Array): RootKey => fromSeed(seed)

/** A member key from 32 secret bytes. */
export const memberKey = (seed: Uint8Array): MemberKey => fromSeed(seed)

/** A session key from 32 secret bytes. */
export const sessionKey = (seed: Uint8Array): SessionKey => fromSeed(seed)

/** The key of an invite from the 16 secret bytes of its link; bound to the mesh's root. */
export const inviteKey = (root: RootPubkey, seed: Uint8Array): InviteKey => fromSeed(hash(32, 'cm1:invite\0', fromB64u(root, 32), seed))

/** The 32 bytes that make this key pair again. */
export const seedOf = (key: KeyPair<string>): Uint8Array => key.secretKey.slice(0, 32)

/** The mesh's id: the hash of its root key, so that nobody can pass off another root. */
export const meshIdOf = (root: RootPubkey): MeshId => base32(hash(20, 'cm1:mesh\0', fromB64u(root, 32))) as MeshId

/** A member's id within its mesh, derived from the member key. */
export const memberIdOf = (mesh: MeshId, member: MemberPubkey): MemberId => toB64u(hash(16, 'cm1:member\0', mesh, fromB64u(member, 32))) as MemberId

/** Eight hex digits for people to tell keys apart (`ab12 cd34`): a label, not a proof. */
export function fingerprint(key: string): string {
  const hex = [...hash(32, 'cm1:fingerprint\0', fromB64u(key, 32)).subarray(0, 4)].map((byte) => byte.toString(16).padStart(2, '0')).join('')
  return `${hex.slice(0, 4)} ${hex.slice(4)}`
}

function base32(bytes: Uint8Array): string {
  let text = ''
  let bits = 0
  let value = 0
  for (const byte of bytes) {
    value = ((value << 8) | byte) & 0xfff
    bits += 8
    while (bits >= 5) {
      bits -= 5
      text += 'abcdefghijklmnopqrstuvwxyz234567'.charAt((value >> bits) & 31)
    }
  }
  return text
}
