import { sodium } from './sodium.ts'

/** ChaCha20-Poly1305 (RFC 8439) of the platform, for the whole chunks of files where it is faster than libsodium. The bytes are the same. */
export interface ChunkCipher {
  /** Seals the parts as one text, into memory that has room for them; gives the 16-byte tag. */
  seal(o: ChunkKey, parts: readonly Uint8Array[], into: Uint8Array): Uint8Array
  /** Opens the parts as one text; false unless the tag is that of this text, compared in constant time. */
  open(o: ChunkKey, parts: readonly Uint8Array[], tag: Uint8Array, into: Uint8Array): boolean
}

/** What one text is sealed with. */
export interface ChunkKey {
  /** 32 bytes. */
  readonly key: Uint8Array
  /** 12 bytes. */
  readonly nonce: Uint8Array
  readonly ad: Uint8Array
}

// A chunk is sealed as this block, whose first byte is the chunk's mark, and the plain bytes behind it; of the sealed block only that byte is sent.
const plainBlock = new Uint8Array(64)
const blockSize = plainBlock.length
const tagSize = 16

/**
 * The whole chunks of a stream but the last, sealed by the platform; libsodium's state is left as its own functions would leave it.
 * libsodium pads otherwise than the RFC what does not fill a block, so other chunks are not the same text to both.
 */
export class WholeChunks {
  readonly #cipher: ChunkCipher
  readonly #state: number
  readonly #ad: Uint8Array
  readonly #out: Uint8Array
  readonly #block = new Uint8Array(blockSize)

  /** `state` is where libsodium has it. */
  constructor(cipher: ChunkCipher, state: number, ad: Uint8Array, size: number) {
    this.#cipher = cipher
    this.#state = state
    this.#ad = ad
    this.#out = new Uint8Array(blockSize + size + tagSize)
  }

  /** The sealed chunk, valid until the next call. */
  seal(plain: Uint8Array): Uint8Array {
    const key = this.#key()
    const out = this.#out
    const tag = this.#cipher.seal(key, [plainBlock, plain], out)
    advance(key.nonce, tag)
    out.set(tag, blockSize + plain.length)
    const sealed = out.subarray(blockSize - 1)
    sealed.set(out.subarray(0, 1))
    return sealed
  }

  /** The opened chunk, valid until the next call; undefined when it is not the next one, unchanged. */
  open(sealed: Uint8Array): { message: Uint8Array; tag: number } | undefined {
    const key = this.#key()
    const block = this.#block
    this.#cipher.seal(key, [plainBlock], block)
    const [expected, mark] = [block[0], sealed[0]] as [number, number]
    block[0] = mark
    const [text, tag] = [sealed.subarray(1, -tagSize), sealed.subarray(-tagSize)]
    if (!this.#cipher.open(key, [block, text], tag, this.#out)) return undefined
    advance(key.nonce, tag)
    return { message: this.#out.subarray(blockSize, blockSize + text.length), tag: mark ^ expected }
  }

  /** In libsodium's `crypto_secretstream_xchacha20poly1305_state`: a copy of the key, and the nonce itself, until libsodium is called again. */
  #key(): ChunkKey {
    const { HEAPU8: heap } = (sodium as unknown as { libsodium: { HEAPU8: Uint8Array } }).libsodium
    const at = this.#state
    return { key: heap.slice(at, at + 32), nonce: heap.subarray(at + 32, at + 44), ad: this.#ad }
  }
}

/** The nonce is a counter of 4 bytes, which the longest file does not exhaust, and 8 that each tag is mixed into. */
function advance(nonce: Uint8Array, tag: Uint8Array): void {
  for (let i = 0; i < 8; i++) nonce[4 + i] = (nonce[4 + i] as number) ^ (tag[i] as number)
  const counter = new DataView(nonce.buffer, nonce.byteOffset, 4)
  counter.setUint32(0, counter.getUint32(0, true) + 1, true)
}
