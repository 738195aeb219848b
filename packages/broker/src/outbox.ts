import type { Duplex } from 'node:stream'
import type { Turn } from './turn.ts'

/** Above the first, stored messages stay in the durable queue; above the second, the connection is closed as a slow consumer. */
export const watermarks = { high: 1024 * 1024, hard: 8 * 1024 * 1024 } as const

// Joining small chunks is cheaper than handing each to the socket; large bodies are shared, not copied.
const copyBelow = 16 * 1024

/** What one connection has to be sent: the frames of one turn leave in one write. */
export class Outbox {
  readonly #socket: Duplex
  readonly #turn: Turn
  readonly #overflow: () => void
  readonly #flush = () => this.flush()
  #chunks: Buffer[] = []
  #bytes = 0
  #closed = false

  constructor(socket: Duplex, turn: Turn, overflow: () => void) {
    this.#socket = socket
    this.#turn = turn
    this.#overflow = overflow
  }

  /** Bytes that the peer has not taken yet. */
  get waiting(): number {
    return this.#bytes + this.#socket.writableLength
  }

  get full(): boolean {
    return this.waiting > watermarks.high
  }

  /** Queues a piece of a frame; the pieces of one frame must be written in one go. */
  write(chunk: Buffer): void {
    if (this.#closed) return
    if (this.#chunks.length === 0) this.#turn.atEnd(this.#flush)
    this.#chunks.push(chunk)
    this.#bytes += chunk.length
    if (this.waiting > watermarks.hard) this.#overflow()
  }

  /** Writes what is queued now instead of at the end of the turn. */
  flush(): void {
    const chunks = this.#chunks
    if (chunks.length === 0 || this.#closed || !this.#socket.writable) return
    this.#chunks = []
    this.#bytes = 0
    if (chunks.length === 1) {
      this.#socket.write(chunks[0])
      return
    }
    this.#socket.cork()
    let small: Buffer[] = []
    for (const chunk of chunks) {
      if (chunk.length < copyBelow) small.push(chunk)
      else {
        if (small.length > 0) this.#socket.write(joined(small))
        small = []
        this.#socket.write(chunk)
      }
    }
    if (small.length > 0) this.#socket.write(joined(small))
    this.#socket.uncork()
  }

  close(): void {
    this.#closed = true
    this.#chunks = []
    this.#bytes = 0
  }
}

const joined = (chunks: Buffer[]): Buffer => (chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks))
