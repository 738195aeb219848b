import { once } from 'node:events'
import { setImmediate as turn, setTimeout as wait } from 'node:timers/promises'
import type { TestMesh } from '../broker/kit.ts'
import { hearAnswers, join, numbered, surfaceAll, template, type Line } from '../bench/overload/line.ts'
import { masked } from '../bench/relay/raw.ts'
import { Track, type Book } from './track.ts'

const patience = 30_000
const bye = masked('{"type":"bye"}')

/** One that sends and one that surfaces, on the wire, and a track of what is under way between them. */
export class Pair {
  readonly #from: Line
  readonly #to: Line
  readonly #frame: Buffer
  readonly #track: Track
  readonly #now: () => number
  #leaving = false

  private constructor(from: Line, to: Line, book: Book, now: () => number) {
    this.#from = from
    this.#to = to
    this.#now = now
    this.#track = new Track(book)
    this.#frame = template(from.peer, to.peer)
    hearAnswers(from.raw, ({ n, code }) => this.#track.answered(n, now(), code))
    surfaceAll(to.raw, (n) => this.#track.pushed(n))
    for (const { raw } of [from, to]) {
      raw.socket.on('error', ({ message }) => book.wrong(`a connection failed: ${message}`))
      raw.socket.on('close', () => this.#leaving || book.wrong('a connection was cut'))
    }
  }

  static async come(port: number, mesh: TestMesh, name: string, book: Book, now: () => number): Promise<Pair> {
    const to = await join(port, mesh, `${name} reads`)
    const from = await join(port, mesh, `${name} writes`)
    return new Pair(from, to, book, now)
  }

  /** Sends the message of this number, which is higher than all before. */
  send(n: number): void {
    this.#track.sent(n, this.#now())
    this.#from.raw.send(numbered(this.#frame, n))
  }

  /** Waits until nothing is under way, then both say goodbye. */
  async leave(): Promise<void> {
    await Promise.race([this.#track.done(), wait(patience, undefined, { ref: false })])
    this.#track.end()
    this.#leaving = true
    // The receipts of this turn go first.
    await turn()
    await Promise.all([this.#from, this.#to].map(goodbye))
  }
}

async function goodbye({ raw }: Line): Promise<void> {
  if (raw.socket.destroyed) return
  const closed = once(raw.socket, 'close')
  raw.send(bye)
  await turn()
  raw.socket.end()
  await closed
}
