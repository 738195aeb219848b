import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'

/** A load balancer for TCP: each new connection goes to the next of the ports that answers. */
export class Balancer implements AsyncDisposable {
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  /** Where connections go, by turns. */
  ports: readonly number[] = []
  #turn = 0

  private constructor(server: Server) {
    this.#server = server
    server.on('connection', (near) => this.#pass(near, this.ports.length))
  }

  static async start(): Promise<Balancer> {
    const server = createServer()
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    return new Balancer(server)
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  #pass(near: Socket, attempts: number): void {
    const port = this.ports[this.#turn++ % this.ports.length]
    near.on('error', () => {})
    if (port === undefined || attempts === 0) {
      near.destroy()
      return
    }
    near.pause()
    const far = connect(port, '127.0.0.1')
    const refused = () => this.#pass(near, attempts - 1)
    far.once('error', refused)
    far.once('connect', () => {
      far.off('error', refused)
      far.on('error', () => {})
      for (const [from, to] of [[near, far] as const, [far, near] as const]) {
        this.#sockets.add(from)
        from.pipe(to)
        from.once('close', () => {
          this.#sockets.delete(from)
          to.destroy()
        })
      }
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    this.#server.close()
    await once(this.#server, 'close')
  }
}
