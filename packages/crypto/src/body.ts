import type { MeshId } from '@claudemesh/protocol'
import { concat, hash, sodium } from './sodium.ts'

/** Of a wrap: content key, hash of the body, counter. */
export const wrapPlainBytes = 72
/** A wrap as it travels. */
export const wrapBytes = wrapPlainBytes + 16

/** Commits to the content key, so that one body cannot be opened with two of them. */
export const keyCommitment = (contentKey: Uint8Array): Uint8Array => hash(32, 'cm1:kc\0', contentKey)

/** The key under which a shared body is encrypted. */
export const bodyKey = (contentKey: Uint8Array): Uint8Array => hash(32, 'cm1:bk\0', contentKey)

/** What each recipient's wrap says of the body it belongs to. */
export const bodyHash = (nonce: Uint8Array, body: Uint8Array): Uint8Array => hash(32, 'cm1:body\0', nonce, body)

const bodyContext = (mesh: MeshId) => `cm1:body\0${mesh}`

/** `commitment ‖ ciphertext` of a padded message. */
export const sealBody = (contentKey: Uint8Array, nonce: Uint8Array, mesh: MeshId, padded: Uint8Array): Uint8Array =>
  concat(keyCommitment(contentKey), sodium.crypto_aead_xchacha20poly1305_ietf_encrypt(padded, bodyContext(mesh), null, nonce, bodyKey(contentKey)))

/** The padded message of a body whose commitment was checked. Throws when it does not decrypt. */
export const openBody = (contentKey: Uint8Array, nonce: Uint8Array, mesh: MeshId, body: Uint8Array): Uint8Array =>
  sodium.crypto_aead_xchacha20poly1305_ietf_decrypt(null, body.subarray(32), bodyContext(mesh), nonce, bodyKey(contentKey))

/** The 72 bytes inside a wrap. */
export function wrapPlain(contentKey: Uint8Array, hashOfBody: Uint8Array, counter: number): Uint8Array {
  const plain = new Uint8Array(wrapPlainBytes)
  plain.set(contentKey)
  plain.set(hashOfBody, 32)
  const view = new DataView(plain.buffer)
  view.setUint32(64, Math.floor(counter / 2 ** 32))
  view.setUint32(68, counter % 2 ** 32)
  return plain
}

/** The counter inside a wrap; undefined when it is above what a number holds exactly. */
export function wrappedCounter(plain: Uint8Array): number | undefined {
  const view = new DataView(plain.buffer, plain.byteOffset)
  const counter = view.getUint32(64) * 2 ** 32 + view.getUint32(68)
  return Number.isSafeInteger(counter) ? counter : undefined
}
