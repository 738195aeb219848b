import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'
import { WebSocketServer, type WebSocket } from 'ws'
import { limits, type Log } from '@claudemesh/protocol'

export interface Door {
  readonly log: Log
  /** How many proxies stand in front. */
  readonly proxies: number
  /** Origins of pages that may connect; command-line clients send none. */
  readonly pages: ReadonlySet<string>
  /** Whether one more connection from this address may greet now. */
  admits(address: string): boolean
  connected(ws: WebSocket, socket: Duplex, address: string): void
  request(request: IncomingMessage, response: ServerResponse, address: string): void
}

// Above the frame limit, so that a frame slightly too large still gets its named error.
const maxPayload = limits.frame + 64 * 1024

/** Opens the port: WebSocket at /ws, HTTP beside it. */
export async function listen(port: number, host: string, door: Door): Promise<Server> {
  const upgrader = new WebSocketServer({ noServer: true, perMessageDeflate: false, maxPayload, skipUTF8Validation: true, clientTracking: false })
  // Whole requests may take long, an upload does; one that moves no byte is cut where it is read.
  const server = createServer({ maxHeaderSize: 8192, requestTimeout: 0, headersTimeout: 5_000, connectionsCheckingInterval: 1_000 }, (request, response) =>
    door.request(request, response, addressOf(request, door.proxies)),
  )
  server.on('upgrade', (request, socket, head) => {
    tellErrors(socket, door.log)
    const refusal = refusalOf(request, door)
    if (refusal !== undefined) {
      door.log('info', 'upgrade_refused', { status: refusal })
      // The server has let go of this socket: one that is only ended stays for as long as its other end likes.
      socket.once('finish', () => socket.destroy())
      socket.end(`HTTP/1.1 ${refusal}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n`)
      return
    }
    upgrader.handleUpgrade(request, socket, head, (ws) => door.connected(ws, socket, addressOf(request, door.proxies)))
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, host, () => {
      server.off('error', reject)
      resolve()
    })
  })
  return server
}

export const portOf = (server: Server): number => (server.address() as AddressInfo).port

/** By itself, so that what listens to the socket as long as it lives does not hold on to the request. */
function tellErrors(socket: Duplex, log: Log): void {
  socket.on('error', (error) => log('info', 'socket_error', { cause: error.message }))
}

function refusalOf(request: IncomingMessage, door: Door): string | undefined {
  if ((request.url ?? '').split('?')[0] !== '/ws') return '404 Not Found'
  const { origin } = request.headers
  if (origin !== undefined && !door.pages.has(origin)) return '403 Forbidden'
  return door.admits(addressOf(request, door.proxies)) ? undefined : '503 Service Unavailable'
}

/** Who is at the other end: so many proxies in front each add the address they were called from. */
function addressOf(request: IncomingMessage, proxies: number): string {
  const told = [request.headers['x-forwarded-for'] ?? []].flat().join(',').split(',')
  const named = proxies > 0 ? told.at(-proxies)?.trim() : undefined
  return named || (request.socket.remoteAddress ?? '')
}
