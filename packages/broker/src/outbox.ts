import type { Duplex } from 'node:stream'
import type { Turn } from './turn.ts'
import { headerSize, writeHeader } from './wire.ts'

/** Above the first, stored messages stay in the durable queue; above the second, the connection is closed as a slow consumer. */
const watermarks = { high: 1024 * 1024, hard: 8 * 1024 * 1024 } as const

// Copying a small body into the turn's one write is cheaper than a write of its own; a large one is shared.
const copyBelow = 16 * 1024

/** What one connection has to be sent: the frames of one turn leave in one write. */
export class Outbox {
  readonly #socket: Duplex
  readonly #turn: Turn
  readonly #overflow: () => void
  readonly #flush = () => this.flush()
  /** Text and bytes by turns: the text of a frame, then the bytes its payload ends with, or undefined. */
  #texts: string[] = []
  #tails: (Buffer | undefined)[] = []
  #bytes = 0
  #closed = false
  #overflown = false

  constructor(socket: Duplex, turn: Turn, overflow: () => void) {
    this.#socket = socket
    this.#turn = turn
    this.#overflow = overflow
  }

  /** Bytes that the peer has not taken yet, about. */
  get waiting(): number {
    return this.#bytes + this.#socket.writableLength
  }

  get full(): boolean {
    return this.waiting > watermarks.high
  }

  /** Queues a text frame: `text`, and `tail` after it, whose bytes frames may share. */
  write(text: string, tail?: Buffer): void {
    if (this.#closed) return
    if (this.#texts.length === 0) this.#turn.atEnd(this.#flush)
    this.#texts.push(text)
    this.#tails.push(tail)
    this.#bytes += text.length + (tail?.length ?? 0)
    if (this.#overflown || this.waiting <= watermarks.hard) return
    this.#overflown = true
    this.#overflow()
  }

  /** Writes what is queued now instead of at the end of the turn. */
  flush(): void {
    const texts = this.#texts
    const tails = this.#tails
    if (texts.length === 0 || this.#closed || !this.#socket.writable) return
    this.#texts = []
    this.#tails = []
    this.#bytes = 0
    const before = { block, used }
    this.#socket.cork()
    let from = 0
    for (let i = 0; i < texts.length; i++) {
      const tail = tails[i]
      if (tail === undefined || tail.length < copyBelow) continue
      this.#socket.write(joined(texts, tails, from, i, tail.length))
      this.#socket.write(tail)
      from = i + 1
    }
    if (from < texts.length) this.#socket.write(joined(texts, tails, from, texts.length - 1, 0))
    this.#socket.uncork()
    // The system has taken all of it: the place is free again.
    if (this.#socket.writableLength === 0 && block === before.block) used = before.used
  }

  close(): void {
    this.#closed = true
    this.#texts = []
    this.#tails = []
    this.#bytes = 0
  }
}

// Small writes are carved out of one block; a block of its own for each would keep the garbage collector busy.
const blockSize = 64 * 1024
let block = Buffer.alloc(0)
let used = 0

function take(size: number): Buffer {
  if (size > blockSize / 4) return Buffer.allocUnsafeSlow(size)
  if (used + size > block.length) {
    block = Buffer.allocUnsafeSlow(blockSize)
    used = 0
  }
  used += size
  return block.subarray(used - size, used)
}

/** The frames `from` to `to` in one buffer; the last one lacks `shared` bytes of its payload, which follow by themselves. */
function joined(texts: readonly string[], tails: readonly (Buffer | undefined)[], from: number, to: number, shared: number): Buffer {
  let size = 0
  for (let i = from; i <= to; i++) {
    const length = Buffer.byteLength(texts[i] as string)
    const tail = tails[i]?.length ?? 0
    size += headerSize(length + tail) + length + (i === to && shared > 0 ? 0 : tail)
  }
  const out = take(size)
  let at = 0
  for (let i = from; i <= to; i++) {
    const text = texts[i] as string
    const tail = tails[i]
    const length = Buffer.byteLength(text)
    at = writeHeader(out, at, length + (tail?.length ?? 0))
    at += length === text.length ? out.write(text, at, 'latin1') : out.write(text, at)
    if (tail !== undefined && !(i === to && shared > 0)) at += tail.copy(out, at)
  }
  return out
}
