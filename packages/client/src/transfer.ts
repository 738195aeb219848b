import type { ChunkCipher } from '@claudemesh/crypto'

/** One answer of the broker's HTTP side. A piece of its body is valid until the next is asked for. A body that is not read to its end must be left by its iterator's return. */
export interface Answer {
  readonly status: number
  readonly body: AsyncIterable<Uint8Array>
}

export interface Hasher {
  update(bytes: Uint8Array): void
  digest(): Uint8Array
}

/** How the bytes of files travel, and how they are hashed: what each platform has its own way for. Throws `unavailable` when there is no answer. */
export interface Transfer {
  /** Sends exactly `size` bytes, copying each piece; the answer may come before the last of them. */
  put(url: string, headers: Readonly<Record<string, string>>, size: number, body: AsyncIterable<Uint8Array>): Promise<Answer>
  get(url: string, headers: Readonly<Record<string, string>>): Promise<Answer>
  sha256(): Hasher
  /** Where the platform seals faster than libsodium. */
  readonly cipher?: ChunkCipher
}
