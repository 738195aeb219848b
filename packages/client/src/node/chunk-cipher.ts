import { createCipheriv, createDecipheriv, type CipherChaCha20Poly1305, type DecipherChaCha20Poly1305 } from 'node:crypto'
import type { ChunkCipher } from '@claudemesh/crypto'
import { release } from '@claudemesh/protocol'

const name = 'chacha20-poly1305'
const options = { authTagLength: 16 }

/** OpenSSL's ChaCha20-Poly1305. */
export const nodeCipher: ChunkCipher = {
  seal: ({ key, nonce, ad }, parts, into) => {
    const cipher = createCipheriv(name, key, nonce, options)
    cipher.setAAD(ad, { plaintextLength: lengthOf(parts) })
    update(cipher, parts, into)
    cipher.final()
    return cipher.getAuthTag()
  },
  open: ({ key, nonce, ad }, parts, tag, into) => {
    const decipher = createDecipheriv(name, key, nonce, options)
    decipher.setAAD(ad, { plaintextLength: lengthOf(parts) })
    decipher.setAuthTag(tag)
    update(decipher, parts, into)
    try {
      decipher.final()
      return true
    } catch {
      return false
    }
  },
}

const lengthOf = (parts: readonly Uint8Array[]) => parts.reduce((sum, part) => sum + part.length, 0)

function update(cipher: CipherChaCha20Poly1305 | DecipherChaCha20Poly1305, parts: readonly Uint8Array[], into: Uint8Array): void {
  let at = 0
  for (const part of parts) {
    const out = cipher.update(part)
    into.set(out, at)
    at += out.length
    release(out)
  }
}
