import { createServer } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'
import { WebSocketServer } from 'ws'

const keyChars = 43

/** A plain `ws` relay that does the least a router can: finds `to`, passes the frame on, acknowledges, and writes once per turn. No identity, no checks. */
export async function ceiling(): Promise<{ port: number; close(): Promise<void> }> {
  const lines = new Map<string, Line>()
  const upgrader = new WebSocketServer({ noServer: true, perMessageDeflate: false, skipUTF8Validation: true, clientTracking: false })
  const server = createServer()
  server.on('upgrade', (request, socket, head) =>
    upgrader.handleUpgrade(request, socket, head, (ws) => {
      const line = new Line(socket)
      ws.on('error', () => {})
      ws.on('message', (data) => relay(lines, line, data as Buffer))
    }),
  )
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    close: async () => {
      server.closeAllConnections()
      server.close()
      for (const line of lines.values()) line.socket.destroy()
    },
  }
}

class Line {
  readonly socket: Duplex
  #out: Buffer[] = []

  constructor(socket: Duplex) {
    this.socket = socket
  }

  write(frame: Buffer): void {
    if (this.#out.length === 0) setImmediate(() => this.#flush())
    this.#out.push(frame)
  }

  #flush(): void {
    this.socket.cork()
    for (const frame of this.#out) this.socket.write(frame)
    this.#out = []
    this.socket.uncork()
  }
}

function relay(lines: Map<string, Line>, from: Line, data: Buffer): void {
  if (data.indexOf('{"type":"iam"') === 0) {
    lines.set((JSON.parse(data.toString()) as { key: string }).key, from)
    from.write(frame(Buffer.from('{"type":"ok"}')))
    return
  }
  const header = data.subarray(0, data.indexOf(',"ciphertext":"'))
  const at = header.indexOf('"to":"') + 6
  const to = header.toString('latin1', at, header.indexOf('"', at))
  const start = Buffer.from('{"type":"push","messageId":"AAAAAAAAAAAAAAAAAAAAAA"')
  const push = frame(Buffer.concat([start, to.length === keyChars ? data.subarray(14, header.length) : Buffer.alloc(0), data.subarray(header.length)]))
  if (to.length === keyChars) lines.get(to)?.write(push)
  else for (const line of lines.values()) if (line !== from) line.write(push)
  const id = header.indexOf('"id":"') + 6
  from.write(frame(Buffer.from(`{"type":"ack","id":"${header.toString('latin1', id, id + 22)}"}`)))
}

function frame(payload: Buffer): Buffer {
  const head = payload.length < 126 ? Buffer.from([0x81, payload.length]) : Buffer.from([0x81, 126, payload.length >> 8, payload.length & 255])
  return Buffer.concat([head, payload])
}
