/** Bytes that came in pieces of any size, taken out in pieces of a wanted one. */
export class ByteQueue {
  #pieces: Uint8Array[] = []
  #length = 0

  get length(): number {
    return this.#length
  }

  push(piece: Uint8Array): void {
    if (piece.length === 0) return
    this.#pieces.push(piece)
    this.#length += piece.length
  }

  /** The first `n` bytes, which must be there. Where they came as one piece, that piece itself. */
  take(n: number): Uint8Array {
    const [first] = this.#pieces
    if (first && first.length >= n) {
      this.#length -= n
      if (first.length === n) this.#pieces.shift()
      else this.#pieces[0] = first.subarray(n)
      return first.subarray(0, n)
    }
    const out = new Uint8Array(n)
    let filled = 0
    while (filled < n) {
      const next = this.#pieces[0] as Uint8Array
      const part = this.take(Math.min(n - filled, next.length))
      out.set(part, filled)
      filled += part.length
    }
    return out
  }
}
