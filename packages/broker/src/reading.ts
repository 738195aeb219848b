import type { WebSocket } from 'ws'
import type { Turn } from './turn.ts'

// What all connections may bring in one turn of the event loop: some milliseconds of work. Much at once is what makes the pushes to one recipient leave in one write.
const room = 512 * 1024
// What the system gives at once, about.
const least = 48 * 1024

/** How much each connection may bring in one turn of the event loop: an even share of the room, by how many brought something in the turn before. */
export class ReadingRoom {
  readonly turn: Turn
  #number = -1
  #readers = 0
  #share = room

  constructor(turn: Turn) {
    this.turn = turn
  }

  /** Counts one more reader of this turn; gives the turn's number. */
  enter(): number {
    const { number } = this.turn
    if (number !== this.#number) {
      this.#share = Math.max(least, room / Math.max(1, this.#readers))
      this.#readers = 0
      this.#number = number
    }
    this.#readers++
    return number
  }

  /** Bytes that each may bring in this turn. */
  get share(): number {
    return this.#share
  }
}

/** What one connection brought in this turn: who sends without end is read on when the others had their turn. */
export class Reading {
  readonly #room: ReadingRoom
  readonly #ws: WebSocket
  #turn = -1
  #bytes = 0

  constructor(room: ReadingRoom, ws: WebSocket) {
    this.#room = room
    this.#ws = ws
  }

  /** Counts a frame; pauses the connection when its share is used up, until the turn ends and `free` says that nothing else holds it. */
  took(bytes: number, free: () => boolean): void {
    const room = this.#room
    if (this.#turn !== room.turn.number) {
      this.#turn = room.enter()
      this.#bytes = 0
    }
    const before = this.#bytes
    this.#bytes += bytes
    if (before >= room.share || this.#bytes < room.share || this.#ws.isPaused) return
    this.#ws.pause()
    room.turn.atEnd(() => free() && this.#ws.resume())
  }
}
