import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import type { Dial } from '@claudemesh/client'
import { nodeDial } from '@claudemesh/client/node'
import { WebSocket, WebSocketServer } from 'ws'

export type Frame = Record<string, unknown> & { type: string }

/** A broker that lies: it stands before the honest one and changes, invents or repeats what clients get to see. */
export class EvilBroker implements AsyncDisposable {
  /** What becomes of each frame on its way to the client. */
  tamper: (frame: Frame) => Frame[] = (frame) => [frame]
  /** What the honest broker sent, in order, as it was. */
  readonly told: Frame[] = []
  /** What the client sent. */
  readonly heard: Frame[] = []
  readonly #server: WebSocketServer
  readonly #clients = new Set<WebSocket>()

  private constructor(server: WebSocketServer) {
    this.#server = server
  }

  static async before(url: string): Promise<EvilBroker> {
    const server = new WebSocketServer({ port: 0, host: '127.0.0.1', perMessageDeflate: false })
    const evil = new EvilBroker(server)
    server.on('connection', (client) => evil.#connected(client, url))
    await once(server, 'listening')
    return evil
  }

  /** Dials the liar; the client believes that it dials the honest broker. */
  get dial(): Dial {
    const { port } = this.#server.address() as AddressInfo
    return (_url, events) => nodeDial(`ws://127.0.0.1:${port}/ws`, events)
  }

  /** Tells every client something out of thin air. */
  say(frame: Frame): void {
    for (const client of this.#clients) client.send(JSON.stringify(frame))
  }

  /** Closes every connection with this code. */
  hangUp(code: number): void {
    for (const client of this.#clients) client.close(code)
  }

  #connected(client: WebSocket, url: string): void {
    const honest = new WebSocket(url, { perMessageDeflate: false })
    const early: string[] = []
    this.#clients.add(client)
    client.on('message', (data: Buffer) => {
      this.heard.push(JSON.parse(data.toString()) as Frame)
      if (honest.readyState === WebSocket.OPEN) honest.send(data.toString())
      else early.push(data.toString())
    })
    honest.on('open', () => early.forEach((text) => honest.send(text)))
    honest.on('message', (data: Buffer) => {
      const frame = JSON.parse(data.toString()) as Frame
      this.told.push(structuredClone(frame))
      for (const lie of this.tamper(frame)) client.send(JSON.stringify(lie))
    })
    client.on('close', () => {
      this.#clients.delete(client)
      honest.terminate()
    })
    honest.on('close', () => client.close())
    honest.on('error', () => client.terminate())
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.#clients) client.terminate()
    this.#server.close()
    await once(this.#server, 'close')
  }
}
