import { randomBytes } from 'node:crypto'
import { limits } from '@claudemesh/protocol'
import { WebSocket } from 'ws'
import type { Dial } from './dial.ts'

/** Dials with `ws`: no compression (a small frame must not inflate without bound), frames bounded, the broker's pings visible. */
export const nodeDial: Dial = (url, events) => {
  // A roster page outgrows the frame limit of the other direction.
  const socket = new WebSocket(url, { perMessageDeflate: false, maxPayload: limits.frame * 8, handshakeTimeout: 10_000, followRedirects: false })
  let error: string | undefined
  socket.on('open', () => events.open())
  socket.on('message', (data, isBinary) => {
    if (isBinary) socket.close(1003)
    else events.text((data as Buffer).toString())
  })
  socket.on('ping', () => events.ping())
  socket.on('error', (cause) => (error = cause.message))
  socket.on('close', (code) => events.close(code, error))
  return {
    send: (text) => socket.send(text),
    close: (code, reason) => {
      if (socket.readyState === WebSocket.CONNECTING || code === 1006) socket.terminate()
      else socket.close(code, reason)
    },
  }
}

/** Random bytes of node:crypto. */
export const nodeRandom = (n: number): Uint8Array => new Uint8Array(randomBytes(n))

export { LocalFiles, type LocalFilesOptions } from './node/local-files.ts'
export { nodeTransfer } from './node/transfer.ts'
