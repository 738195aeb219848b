import { MeshError, type RecipientPubkey } from '@claudemesh/protocol'
import { fromB64u } from './base64.ts'
import type { MemberKey, SessionKey } from './keys.ts'
import { sodium } from './sodium.ts'

/** A peer as sealing needs it: the bytes of its key, and the key shared with it. */
export interface Pair {
  readonly bytes: Uint8Array
  readonly shared: Uint8Array
}

/** The crypto_box keys of one session, or of a member for its mail, with each of its peers, computed at first use (0.2 ms each) and kept until forgotten. */
export class PairKeys {
  readonly me: RecipientPubkey
  readonly #secret: Uint8Array
  readonly #pairs = new Map<RecipientPubkey, Pair>()

  constructor(own: SessionKey | MemberKey) {
    this.me = own.publicKey
    this.#secret = sodium.crypto_sign_ed25519_sk_to_curve25519(own.secretKey)
  }

  /** The key shared with this peer. Throws `bad_recipients` when the peer's key is no curve point of full order. */
  with(peer: RecipientPubkey): Pair {
    const known = this.#pairs.get(peer)
    if (known) return known
    const pair = this.#derive(peer)
    this.#pairs.set(peer, pair)
    return pair
  }

  /** Wipes the key shared with this peer; the next use computes it again. */
  forget(peer: RecipientPubkey): void {
    this.#pairs.get(peer)?.shared.fill(0)
    this.#pairs.delete(peer)
  }

  /** Wipes all keys, its own included. Nothing can be sealed or opened after. */
  wipe(): void {
    for (const peer of this.#pairs.keys()) this.forget(peer)
    this.#secret.fill(0)
  }

  #derive(peer: RecipientPubkey): Pair {
    try {
      const bytes = fromB64u(peer, 32)
      return { bytes, shared: sodium.crypto_box_beforenm(sodium.crypto_sign_ed25519_pk_to_curve25519(bytes), this.#secret) }
    } catch (cause) {
      throw new MeshError('bad_recipients', `${peer} is not a session key, nor a member’s`, { cause })
    }
  }
}
