import type { Duplex } from 'node:stream'
import type { Turn } from './turn.ts'
import { headerSize, writeHeader } from './wire.ts'

/** Above the first, stored messages stay in the durable queue; above the second, the connection is closed as a slow consumer. */
const watermarks = { high: 1024 * 1024, hard: 8 * 1024 * 1024 } as const

// Copying a small body into the turn's one write is cheaper than a write of its own; a large one is shared.
const copyBelow = 16 * 1024

/** A text frame: how it begins, the wrap it carries, and how it ends. Frames of one message share bytes. */
interface Frame {
  readonly head: string | Buffer
  readonly wrap: string | undefined
  readonly tail: Buffer | undefined
}

/** What one connection has to be sent: the frames of one turn leave in one write. */
export class Outbox {
  readonly #socket: Duplex
  readonly #turn: Turn
  readonly #overflow: () => void
  readonly #flush = () => this.flush()
  #frames: Frame[] = []
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

  /** Queues a text frame: `head`, then `wrap` as a field where there is one, and `tail`. */
  write(head: string | Buffer, wrap?: string, tail?: Buffer): void {
    if (this.#closed) return
    if (this.#frames.length === 0) this.#turn.atEnd(this.#flush)
    this.#frames.push({ head, wrap, tail })
    this.#bytes += head.length + (wrap?.length ?? 0) + (tail?.length ?? 0)
    if (this.#overflown || this.waiting <= watermarks.hard) return
    this.#overflown = true
    this.#overflow()
  }

  /** Writes what is queued now instead of at the end of the turn. */
  flush(): void {
    const frames = this.#frames
    if (frames.length === 0 || this.#closed || !this.#socket.writable) return
    this.#frames = []
    this.#bytes = 0
    const before = { block, used }
    this.#socket.cork()
    let from = 0
    for (let i = 0; i < frames.length; i++) {
      const tail = frames[i]?.tail
      if (tail === undefined || tail.length < copyBelow) continue
      this.#socket.write(joined(frames, from, i, tail.length))
      this.#socket.write(tail)
      from = i + 1
    }
    if (from < frames.length) this.#socket.write(joined(frames, from, frames.length - 1, 0))
    this.#socket.uncork()
    // The system has taken all of it: the place is free again.
    if (this.#socket.writableLength === 0 && block === before.block) used = before.used
  }

  close(): void {
    this.#closed = true
    this.#frames = []
    this.#bytes = 0
  }
}

// Writes are carved out of one block; a block of its own for each would keep the garbage collector busy.
const blockSize = 256 * 1024
let block = Buffer.alloc(0)
let used = 0

function take(size: number): Buffer {
  if (size > blockSize / 2) return Buffer.allocUnsafeSlow(size)
  if (used + size > block.length) {
    block = Buffer.allocUnsafeSlow(blockSize)
    used = 0
  }
  used += size
  return block.subarray(used - size, used)
}

const wrapOpen = Buffer.from(',"wrap":"')
const quote = 0x22

const lengthOf = (head: string | Buffer): number => (typeof head === 'string' ? Buffer.byteLength(head) : head.length)
const wrapLength = (wrap: string | undefined): number => (wrap === undefined ? 0 : wrapOpen.length + wrap.length + 1)

/** The frames `from` to `to` in one buffer; the last one lacks `shared` bytes of its payload, which follow by themselves. */
function joined(frames: readonly Frame[], from: number, to: number, shared: number): Buffer {
  let size = -shared
  for (let i = from; i <= to; i++) {
    const { head, wrap, tail } = frames[i] as Frame
    const length = lengthOf(head) + wrapLength(wrap) + (tail?.length ?? 0)
    size += headerSize(length) + length
  }
  const out = take(size)
  let at = 0
  for (let i = from; i <= to; i++) at = put(out, at, frames[i] as Frame, i === to && shared > 0)
  return out
}

/** Writes a frame, without its tail where that follows by itself, and gives the place after it. */
function put(out: Buffer, start: number, { head, wrap, tail }: Frame, tailFollows: boolean): number {
  const length = lengthOf(head)
  let at = writeHeader(out, start, length + wrapLength(wrap) + (tail?.length ?? 0))
  if (typeof head !== 'string') out.set(head, at)
  else if (length === head.length) out.write(head, at, 'latin1')
  else out.write(head, at)
  at += length
  if (wrap !== undefined) {
    out.set(wrapOpen, at)
    at += wrapOpen.length
    at += out.write(wrap, at, 'latin1')
    out[at++] = quote
  }
  if (tail === undefined || tailFollows) return at
  out.set(tail, at)
  return at + tail.length
}
