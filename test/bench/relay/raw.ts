import { once } from 'node:events'
import { connect, type Socket } from 'node:net'

/** Takes the payload of a frame, where it lies: from `start` to `end` of `data`. */
export type OnFrame = (data: Buffer, start: number, end: number) => void

/** An answer to every ping, whatever it said. */
const pong = Buffer.from([0x8a, 0x80, 0, 0, 0, 0])

/** A WebSocket client of a load generator: frames in and out as bytes, and what one turn sends leaves in one write. */
export class Raw {
  readonly socket: Socket
  onFrame: OnFrame = () => {}
  #rest: Buffer = Buffer.alloc(0)
  #out: Buffer[] = []

  private constructor(socket: Socket) {
    this.socket = socket
  }

  static async dial(port: number): Promise<Raw> {
    const socket = connect(port, '127.0.0.1').setNoDelay(true)
    const raw = new Raw(socket)
    socket.write(
      `GET /ws HTTP/1.1\r\nhost: 127.0.0.1:${port}\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n`,
    )
    let head = Buffer.alloc(0)
    while (!head.includes('\r\n\r\n')) head = Buffer.concat([head, ...((await once(socket, 'data')) as Buffer[])])
    const start = head.indexOf('\r\n\r\n') + 4
    socket.on('data', (chunk) => raw.#read(chunk))
    raw.#rest = head.subarray(start)
    return raw
  }

  /** The next frame that matches, as JSON; the frames before it are dropped. */
  next(matches: (frame: Record<string, unknown>) => boolean = () => true): Promise<Record<string, unknown>> {
    return new Promise((resolve) => {
      const before = this.onFrame
      this.onFrame = (data, start, end) => {
        const frame = JSON.parse(data.toString('utf8', start, end)) as Record<string, unknown>
        if (!matches(frame)) return
        this.onFrame = before
        resolve(frame)
      }
      this.#read(Buffer.alloc(0))
    })
  }

  /** Hands on every frame from now on, and what came before. */
  hear(onFrame: OnFrame): void {
    this.onFrame = onFrame
    this.#read(Buffer.alloc(0))
  }

  send(frame: Buffer): void {
    if (this.#out.length === 0) setImmediate(() => this.#flush())
    this.#out.push(frame)
  }

  #flush(): void {
    // One that has left since, or was let go of, says nothing more.
    if (this.socket.writable) this.socket.write(this.#out.length === 1 ? (this.#out[0] as Buffer) : Buffer.concat(this.#out))
    this.#out = []
  }

  #read(chunk: Buffer): void {
    const data = this.#rest.length > 0 ? Buffer.concat([this.#rest, chunk]) : chunk
    let at = 0
    while (data.length >= at + 2) {
      const short = (data[at + 1] as number) & 0x7f
      const start = at + (short < 126 ? 2 : short === 126 ? 4 : 10)
      if (data.length < start) break
      const end = start + (short < 126 ? short : short === 126 ? data.readUInt16BE(at + 2) : data.readUInt32BE(at + 6))
      if (data.length < end) break
      const opcode = (data[at] as number) & 0x0f
      at = end
      if (opcode === 1 || opcode === 2) this.onFrame(data, start, end)
      else if (opcode === 9) this.send(pong)
    }
    this.#rest = data.subarray(at)
  }
}

/** A client's frame, of a text or of bytes, masked with zeros: the bytes stay what they are. */
export function masked(content: string | Buffer): Buffer {
  const payload = typeof content === 'string' ? Buffer.from(content) : content
  const long = payload.length > 65_535
  const head = Buffer.alloc((payload.length < 126 ? 2 : long ? 10 : 4) + 4)
  head[0] = typeof content === 'string' ? 0x81 : 0x82
  if (payload.length < 126) head[1] = 0x80 | payload.length
  else if (long) {
    head[1] = 0xff
    head.writeUInt32BE(payload.length, 6)
  } else {
    head[1] = 0xfe
    head.writeUInt16BE(payload.length, 2)
  }
  return Buffer.concat([head, payload])
}
