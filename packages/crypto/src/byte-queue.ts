/** Bytes that came in pieces of any size, taken out in pieces of a wanted one. */
export class ByteQueue {
  readonly #kept: Uint8Array
  #count = 0
  #piece: Uint8Array = new Uint8Array()

  /** Keeps at most `room` bytes from one piece to the next. */
  constructor(room: number) {
    this.#kept = new Uint8Array(room)
  }

  get length(): number {
    return this.#count + this.#piece.length
  }

  /** The piece must stay as it is until `keep`. */
  push(piece: Uint8Array): void {
    this.#piece = piece
  }

  /** The first `n` bytes, which must be there; valid until the next call. */
  take(n: number): Uint8Array {
    const more = this.#piece.subarray(0, n - this.#count)
    this.#piece = this.#piece.subarray(more.length)
    if (this.#count === 0) return more
    this.#kept.set(more, this.#count)
    this.#count = 0
    return this.#kept.subarray(0, n)
  }

  /** Copies what is left of the piece. */
  keep(): void {
    this.#kept.set(this.#piece, this.#count)
    this.#count += this.#piece.length
    this.#piece = new Uint8Array()
  }
}
