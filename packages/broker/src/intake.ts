import type { WebSocket } from 'ws'
import { Reading, type ReadingRoom } from './reading.ts'

/** The frames of one connection in their turn: while one is under way those behind it wait, and no more are read. */
export class Intake {
  readonly #ws: WebSocket
  readonly #reading: Reading
  readonly #receive: (data: Buffer) => void
  readonly #isFree = () => !this.#busy
  #busy = false
  #waiting: Buffer[] = []

  constructor(ws: WebSocket, room: ReadingRoom, receive: (data: Buffer) => void) {
    this.#ws = ws
    this.#reading = new Reading(room, ws)
    this.#receive = receive
  }

  /** Whether a frame is under way. */
  get busy(): boolean {
    return this.#busy
  }

  /** Counts what was read. */
  read(bytes: number): void {
    this.#reading.took(bytes, this.#isFree)
  }

  /** This frame comes after the one that is under way. */
  wait(data: Buffer): void {
    this.#waiting.push(data)
    if (!this.#ws.isPaused) this.#ws.pause()
  }

  /** The next frame waits for this work, which does not fail. */
  holdFor(work: Promise<void>): void {
    this.#busy = true
    void work.finally(() => this.#next())
  }

  /** Nothing is read on until what it gives is called. */
  pause(): () => void {
    this.#busy = true
    this.#ws.pause()
    return () => this.#next()
  }

  /** Takes what waits out of its turn. */
  leftovers(): Buffer[] {
    return this.#waiting.splice(0)
  }

  #next(): void {
    this.#busy = false
    while (!this.#busy && this.#waiting.length > 0) this.#receive(this.#waiting.shift() as Buffer)
    if (!this.#busy && this.#ws.isPaused) this.#ws.resume()
  }
}
