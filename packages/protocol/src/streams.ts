/** Collects bytes for a slow place: while one buffer is written another fills. Writes come one at a time and in order, and after one that failed none. */
export class WriteBehind {
  readonly #write: (bytes: Uint8Array) => Promise<void>
  #filling: Uint8Array
  #resting: Uint8Array
  #used = 0
  #writing = Promise.resolve()

  /** `write` gets `size` bytes at a time, fewer at a flush; they are overwritten once it has resolved. */
  constructor(size: number, write: (bytes: Uint8Array) => Promise<void>) {
    this.#write = write
    this.#filling = new Uint8Array(size)
    this.#resting = new Uint8Array(size)
  }

  /** Copies the bytes; waits only while both buffers are full. Rejects as the write before did. */
  async push(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length;) {
      const taken = Math.min(this.#filling.length - this.#used, bytes.length - at)
      this.#filling.set(bytes.subarray(at, at + taken), this.#used)
      this.#used += taken
      at += taken
      if (this.#used === this.#filling.length) await this.#turn()
    }
  }

  /** Resolves when all is written. Rejects as the first write that failed. */
  async flush(): Promise<void> {
    if (this.#used > 0) await this.#turn()
    await this.#writing
  }

  async #turn(): Promise<void> {
    await this.#writing
    const [full, used] = [this.#filling, this.#used]
    this.#filling = this.#resting
    this.#resting = full
    this.#used = 0
    this.#writing = this.#write(full.subarray(0, used))
    this.#writing.catch(() => {})
  }
}

/** The bytes of a slow place from a position, until `read` gives none: while one piece is used the next is read. Each is valid until the next is asked for. */
export async function* readAhead(
  size: number,
  from: number,
  read: (into: Uint8Array, position: number) => Promise<number>,
): AsyncGenerator<Uint8Array<ArrayBuffer>, void> {
  const begin = (into: Uint8Array<ArrayBuffer>, position: number) => {
    const reading = read(into, position)
    reading.catch(() => {})
    return reading
  }
  let [into, resting] = [new Uint8Array(size), new Uint8Array(size)]
  let position = from
  let reading = begin(into, position)
  try {
    for (;;) {
      const count = await reading
      if (count === 0) return
      position += count
      const piece = into.subarray(0, count)
      ;[into, resting] = [resting, into]
      reading = begin(into, position)
      yield piece
    }
  } finally {
    // Whoever leaves early may close what is read from.
    await reading.catch(() => {})
  }
}

/** Frees the memory of bytes that nobody else has, at once. Collected with the garbage they would come to 64 MiB first, and each time to a search of the whole heap. */
export function release(bytes: Uint8Array): void {
  const { buffer } = bytes
  if (buffer instanceof ArrayBuffer && bytes.byteLength === buffer.byteLength) buffer.transfer(0)
}
