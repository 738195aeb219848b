import { MeshError } from '@claudemesh/protocol'
import { fromB64u, toB64u } from './base64.ts'
import { take, type Random } from './random.ts'
import { sodium } from './sodium.ts'

/** XChaCha20-Poly1305: nonce and ciphertext, in base64url. */
export interface AeadBox {
  readonly n: string
  readonly c: string
}

/** Seals under a nonce of its own; opens with the same key and context alone. */
export function sealAead(key: Uint8Array, context: string, plain: Uint8Array, random: Random): AeadBox {
  const nonce = take(random, 24)
  return { n: toB64u(nonce), c: toB64u(sodium.crypto_aead_xchacha20poly1305_ietf_encrypt(plain, context, null, nonce, key)) }
}

/** What was sealed. Throws `cannot_open`. */
export function openAead(key: Uint8Array, context: string, box: AeadBox): Uint8Array {
  try {
    return sodium.crypto_aead_xchacha20poly1305_ietf_decrypt(null, fromB64u(box.c), context, fromB64u(box.n, 24), key)
  } catch (cause) {
    throw new MeshError('cannot_open', 'the seal does not open with this key', { cause })
  }
}
