import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'

/** A real TCP line between one peer and the broker that a test can cut, freeze or keep from being dialled. */
export class Line implements AsyncDisposable {
  readonly #server: Server
  readonly #pairs = new Set<[Socket, Socket]>()
  #frozen = false
  #refusing = false
  #stalled = false
  /** Bytes per second in each direction. */
  #rate = Number.POSITIVE_INFINITY

  private constructor(server: Server) {
    this.#server = server
  }

  static async to(port: number): Promise<Line> {
    const server = createServer()
    const line = new Line(server)
    server.on('connection', (near) => line.#connected(near, port))
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    return line
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  /** Frozen lines are passed over when the test lets the dust settle. */
  get frozen(): boolean {
    return this.#frozen
  }

  /** Tears the connection down without a goodbye. */
  cut(): void {
    for (const pair of this.#pairs) for (const socket of pair) socket.destroy()
  }

  /** Ends the connection on the near side alone: the far end has not noticed. */
  abandon(): void {
    for (const [near] of this.#pairs) {
      near.removeAllListeners('end').removeAllListeners('close')
      near.destroy()
    }
  }

  /** Ends the connection on the far side alone: the near end hears of it when it next sends. */
  forget(): void {
    for (const [near, far] of this.#pairs) {
      far.removeAllListeners('end').removeAllListeners('close')
      far.destroy()
      near.removeAllListeners('data')
      near.once('data', () => near.resetAndDestroy())
    }
  }

  /** Keeps the connection open, but lets nothing through. */
  freeze(): void {
    this.#frozen = true
    for (const pair of this.#pairs) for (const socket of pair) socket.pause()
  }

  /** Lets everything through again, what was kept back first. */
  thaw(): void {
    this.#frozen = false
    for (const pair of this.#pairs) for (const socket of pair) socket.resume()
  }

  /** Lets no more than so many bytes per second through in each direction. */
  throttle(rate = Number.POSITIVE_INFINITY): void {
    this.#rate = rate
  }

  /** Keeps back what the broker sends, until released. */
  hold(): void {
    for (const [, far] of this.#pairs) far.pause()
  }

  /** Keeps back what the far end sends, also on connections yet to be dialled, until released. */
  stall(): void {
    this.#stalled = true
    this.hold()
  }

  release(): void {
    this.#stalled = false
    for (const [, far] of this.#pairs) far.resume()
  }

  /** Dials are torn down until allowed again. */
  refuse(refusing = true): void {
    this.#refusing = refusing
  }

  #connected(near: Socket, port: number): void {
    if (this.#refusing) {
      near.on('error', () => {})
      near.destroy()
      return
    }
    const far = connect(port, '127.0.0.1')
    const pair: [Socket, Socket] = [near, far]
    this.#pairs.add(pair)
    this.#frozen = false
    for (const [from, to] of [[near, far] as const, [far, near] as const]) {
      from.setNoDelay(true)
      from.on('data', (data) => {
        to.write(data)
        if (this.#rate < Number.POSITIVE_INFINITY) this.#pause(from, (1000 * data.length) / this.#rate)
      })
      from.on('end', () => to.end())
      from.on('error', () => {})
      from.on('close', () => {
        to.destroy()
        this.#pairs.delete(pair)
      })
    }
    if (this.#stalled) far.pause()
  }

  #pause(socket: Socket, ms: number): void {
    socket.pause()
    setTimeout(() => this.#frozen || socket.resume(), ms).unref()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cut()
    this.#server.close()
    await once(this.#server, 'close')
  }
}
