import type { MeshId } from '@claudemesh/protocol'
import type { Payload, TokenType } from './payloads.ts'
import { toB64u } from './base64.ts'
import { hash } from './sodium.ts'
import { verifyToken } from './token.ts'

/** Remembers which tokens verified, under which issuer and type; the least recently used is forgotten first. */
export class TokenCache {
  readonly #capacity: number
  readonly #verified = new Map<string, Payload<TokenType>>()

  constructor(capacity = 8192) {
    this.#capacity = capacity
  }

  /** As verifyToken, without repeating the signature checks for a token that passed them before. Throws `bad_token`. */
  verify<T extends TokenType>(token: string, type: T, mesh: MeshId, issuer: string): Payload<T> {
    const key = toB64u(hash(32, `${type}\0${mesh}\0${issuer}\0${token}`))
    const known = this.#verified.get(key)
    this.#verified.delete(key)
    const payload = (known as Payload<T> | undefined) ?? verifyToken(token, type, mesh, issuer)
    this.#verified.set(key, payload)
    if (this.#verified.size > this.#capacity) this.#evict()
    return payload
  }

  get size(): number {
    return this.#verified.size
  }

  #evict(): void {
    for (const oldest of this.#verified.keys()) {
      this.#verified.delete(oldest)
      return
    }
  }
}
