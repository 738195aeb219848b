import { once } from 'node:events'
import { chmodSync, rmSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import type { WakePath } from './paths.ts'

/** Hook processes that wait at a socket for something to wake the session with. One waits; a newer one takes its place. */
export class Rewake implements AsyncDisposable {
  readonly path: WakePath
  readonly #server: Server
  readonly #file: string
  readonly #listeners = new Set<() => void>()
  #waiting: Socket | undefined

  private constructor(server: Server, file: string) {
    this.#server = server
    this.#file = file
    this.path = {
      name: 'rewake',
      // What wakes a session that works already would only come as another turn after this one.
      open: (working) => !working && this.#waiting !== undefined,
      post: ({ text }) => this.#wake(text),
    }
  }

  /** Listens at a path in the session's own folder: only this user's processes reach it. */
  static async listen(file: string): Promise<Rewake> {
    // Left by an earlier server of this session.
    rmSync(file, { force: true })
    const server = createServer()
    const rewake = new Rewake(server, file)
    server.on('connection', (socket) => rewake.#arm(socket))
    server.listen(file)
    await once(server, 'listening')
    chmodSync(file, 0o600)
    server.unref()
    return rewake
  }

  /** Calls it whenever a hook begins to wait, until the returned function is called. */
  onArmed(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  #arm(socket: Socket): void {
    this.#waiting?.end('{}\n')
    this.#waiting = socket
    socket.unref()
    socket.on('error', () => socket.destroy())
    socket.on('close', () => {
      if (this.#waiting === socket) this.#waiting = undefined
    })
    socket.resume()
    for (const listener of this.#listeners) listener()
  }

  #wake(text: string): Promise<void> {
    const socket = this.#waiting
    if (!socket) return Promise.reject(new Error('no hook waits'))
    this.#waiting = undefined
    return new Promise((resolve, reject) => {
      socket.once('error', reject)
      socket.end(`${JSON.stringify({ wake: text })}\n`, () => resolve())
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#waiting?.destroy()
    await new Promise<void>((resolve) => this.#server.close(() => resolve()))
    rmSync(this.#file, { force: true })
  }
}
