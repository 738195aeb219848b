import sodium, { memcmp, ready as loaded } from 'libsodium-wrappers'

/** Loads libsodium. Await it once before anything else of this package is called. */
export const ready = (): Promise<void> => loaded

export { sodium }

const utf8 = new TextEncoder()
const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** UTF-8 bytes of a text. */
export const encodeText = (text: string): Uint8Array => utf8.encode(text)

/** The text of valid UTF-8. Throws TypeError for anything else. */
export const decodeText = (bytes: Uint8Array): string => strictUtf8.decode(bytes)

/** All parts in one array; texts as UTF-8. */
export function concat(...parts: readonly (Uint8Array | string)[]): Uint8Array {
  const arrays = parts.map((part) => (typeof part === 'string' ? utf8.encode(part) : part))
  const all = new Uint8Array(arrays.reduce((sum, part) => sum + part.length, 0))
  let offset = 0
  for (const part of arrays) {
    all.set(part, offset)
    offset += part.length
  }
  return all
}

/** Unkeyed BLAKE2b of the parts' concatenation, `length` bytes (16 to 64). */
export const hash = (length: number, ...parts: readonly (Uint8Array | string)[]): Uint8Array => sodium.crypto_generichash(length, concat(...parts), null)

/** Ed25519 signature under `domain ‖ message`. */
export const sign = (secretKey: Uint8Array, ...message: readonly (Uint8Array | string)[]): Uint8Array =>
  sodium.crypto_sign_detached(concat(...message), secretKey)

/** Whether the Ed25519 signature is right; false, never an exception, for a signature of the wrong length. */
export function verifies(publicKey: Uint8Array, signature: Uint8Array, ...message: readonly (Uint8Array | string)[]): boolean {
  return signature.length === 64 && sodium.crypto_sign_verify_detached(signature, concat(...message), publicKey)
}

/** Equality of two byte strings in a time that depends on their lengths alone. */
export const same = (a: Uint8Array, b: Uint8Array): boolean => a.length === b.length && memcmp(a, b)
