import { MeshError, type SessionPubkey } from '@claudemesh/protocol'
import { fromB64u } from './base64.ts'
import type { SessionKey } from './keys.ts'
import { sodium } from './sodium.ts'

/** The crypto_box keys of one session with each of its peers, computed at first use (0.2 ms each) and kept until forgotten. */
export class PairKeys {
  readonly me: SessionPubkey
  readonly #secret: Uint8Array
  readonly #shared = new Map<SessionPubkey, Uint8Array>()

  constructor(session: SessionKey) {
    this.me = session.publicKey
    this.#secret = sodium.crypto_sign_ed25519_sk_to_curve25519(session.secretKey)
  }

  /** The key shared with this peer. Throws `bad_recipients` when the peer's key is no curve point of full order. */
  with(peer: SessionPubkey): Uint8Array {
    const known = this.#shared.get(peer)
    if (known) return known
    const key = this.#derive(peer)
    this.#shared.set(peer, key)
    return key
  }

  /** Wipes the key shared with this peer; the next use computes it again. */
  forget(peer: SessionPubkey): void {
    this.#shared.get(peer)?.fill(0)
    this.#shared.delete(peer)
  }

  /** Wipes all keys, the session's own included. Nothing can be sealed or opened after. */
  wipe(): void {
    for (const peer of this.#shared.keys()) this.forget(peer)
    this.#secret.fill(0)
  }

  #derive(peer: SessionPubkey): Uint8Array {
    try {
      return sodium.crypto_box_beforenm(sodium.crypto_sign_ed25519_pk_to_curve25519(fromB64u(peer, 32)), this.#secret)
    } catch (cause) {
      throw new MeshError('bad_recipients', `${peer} is not a session key`, { cause })
    }
  }
}
