import type { Duplex } from 'node:stream'
import type { WebSocket } from 'ws'
import { closeCodes, limits, MeshError, times, toErrorFrame, type MeshId, type SessionPubkey } from '@claudemesh/protocol'
import { causeOf } from './cause.ts'
import { Dialogue } from './dialogue.ts'
import { limitGreeting } from './greeting-limits.ts'
import { Intake } from './intake.ts'
import type { Kernel, Ready } from './kernel.ts'
import { disconnected } from './lifecycle.ts'
import { Outbox } from './outbox.ts'
import { moves, type Phase } from './phase.ts'
import type { SendHeader } from './scan.ts'
import { SendOrder } from './send-order.ts'
import { storeFailure } from './store-failure.ts'

/** Who keeps the connections: told once when one is no longer in greeting, and once when it is gone. */
export interface Host {
  greeted(): void
  closed(session: Session): void
}

const missedPings = 3
// Whoever does not answer a close is cut.
const patience = 5_000

/** One connection: greeting → ready → draining → closed. Its frames are handled in order, and no failure leaves it. */
export class Session {
  readonly #kernel: Kernel
  readonly #ws: WebSocket
  readonly #outbox: Outbox
  readonly #host: Host
  readonly #intake: Intake
  readonly #dialogue: Dialogue
  #phase: Phase
  #missed = 0
  #cancelCut: () => void = () => {}
  #order: SendOrder | undefined

  constructor(kernel: Kernel, ws: WebSocket, { socket, address }: { socket: Duplex; address: string }, host: Host) {
    this.#kernel = kernel
    this.#ws = ws
    this.#host = host
    this.#intake = new Intake(ws, kernel.reading, (data) => this.#receive(data, false))
    this.#dialogue = new Dialogue(kernel, this, this.#intake, address)
    this.#outbox = new Outbox(socket, kernel.turn, () => this.refuse(new MeshError('slow_consumer'), closeCodes.slowConsumer))
    const nonce = Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString('base64url')
    const cancelDeadline = kernel.clock.after(times.helloDeadline, () => this.refuse(new MeshError('hello_timeout'), closeCodes.helloTimeout))
    this.#phase = { name: 'greeting', nonce, cancelDeadline }
    limitGreeting(
      socket,
      () => this.greeting,
      (error) => this.refuse(error, closeCodes.tooLarge),
    )
    socket.on('drain', () => this.ready?.me.link?.feed.catchUp())
    ws.on('message', (data, isBinary) => this.#receive(data as Buffer, isBinary))
    ws.on('pong', () => (this.#missed = 0))
    ws.on('error', (error) => kernel.log('info', 'socket_error', { cause: error.message }))
    ws.on('close', (code) => this.#closed(`closed ${code}`))
    this.write(JSON.stringify({ type: 'challenge', v: 1, nonce, time: kernel.clock.now() }))
  }

  get outbox(): Outbox {
    return this.#outbox
  }

  /** What it may do, once it has proven for whom it speaks. */
  get ready(): Ready | undefined {
    return this.#phase.name === 'ready' ? this.#phase.context : undefined
  }

  /** What a hello has to sign; undefined when the connection has greeted. */
  get nonce(): string | undefined {
    return this.#phase.name === 'greeting' ? this.#phase.nonce : undefined
  }

  /** The order of its stored sends, where its client asked for it. */
  get order(): SendOrder | undefined {
    return this.#order
  }

  /** For whom this connection speaks, once that is proven. */
  get presence(): { readonly mesh: MeshId; readonly key: SessionPubkey } | undefined {
    const ready = this.ready
    return ready && { mesh: ready.mesh.id, key: ready.me.key }
  }

  /** Whether nothing is proven yet, and the connection still stands. */
  get greeting(): boolean {
    return this.#phase.name === 'greeting'
  }

  /** Whether it has not even begun to greet. */
  get unheard(): boolean {
    return this.#phase.name === 'greeting' && !this.#intake.busy
  }

  /** Queues a frame for the end of this turn. */
  write(frame: string): void {
    this.#outbox.write(frame)
  }

  /** Answers a request with its error; the unexpected becomes `internal`, and its cause stays in the log. */
  fail(error: unknown, id?: string): void {
    if (!(error instanceof MeshError)) this.#kernel.log('error', 'handler_failed', { cause: causeOf(error) })
    const frame = toErrorFrame(storeFailure(error) ?? error, id)
    this.#kernel.meter.count('refusals', frame.code)
    this.write(JSON.stringify(frame.code === 'clock_skew' ? { ...frame, serverTime: this.#kernel.clock.now() } : frame))
  }

  /** Answers a send with its error; a stored one that will come again keeps its place. */
  failSend(error: unknown, { id, volatile }: SendHeader): void {
    const why = storeFailure(error) ?? error
    if (volatile !== true && why instanceof MeshError) this.#order?.refused(id, why, this.#kernel.clock)
    this.fail(error, id)
  }

  /** The hello stands: from here on the connection speaks for this presence, and where it asks for it, its stored sends keep their order. */
  welcome(context: Ready, inOrder: boolean): void {
    if (inOrder) this.#order = new SendOrder()
    if (this.#phase.name === 'greeting') this.#phase.cancelDeadline()
    this.#become({ name: 'ready', context })
  }

  /** Ends the connection with an error frame and a close code. */
  refuse(error: MeshError, code: number, id?: string): void {
    if (this.#phase.name === 'closed' || this.#phase.name === 'draining') return
    this.#kernel.log('info', 'connection_refused', { code: error.code })
    this.fail(error, id)
    this.finish(code, error.code)
  }

  /** Sends what is queued and closes; nothing more is read. */
  finish(code: number, reason: string): void {
    if (this.#phase.name === 'closed' || this.#phase.name === 'draining') return
    const left = this.#leave()
    this.#become({ name: 'draining' })
    left()
    this.#outbox.flush()
    this.#outbox.close()
    this.#ws.close(code, reason)
    this.#cancelCut = this.#kernel.clock.after(patience, () => this.#ws.terminate())
  }

  /** Ends the connection at once. */
  destroy(): void {
    this.#ws.terminate()
  }

  /** Asks for a sign of life; three without an answer end the connection. */
  ping(): void {
    if (this.#phase.name !== 'ready') return
    if (this.#missed >= missedPings) {
      this.#kernel.log('info', 'pings_missed', { session: this.#phase.context.me.key })
      this.#ws.terminate()
      return
    }
    this.#missed++
    this.#ws.ping()
  }

  get #limit(): number {
    return this.#phase.name === 'greeting' ? limits.frameBeforeHello : limits.frame
  }

  #become(next: Phase): void {
    if (!moves[this.#phase.name].includes(next.name)) throw new Error(`a session cannot go from ${this.#phase.name} to ${next.name}`)
    const greeted = this.#phase.name === 'greeting'
    this.#phase = next
    if (greeted) this.#host.greeted()
  }

  #receive(data: Buffer, isBinary: boolean): void {
    this.#missed = 0
    this.#intake.read(data.length)
    if (this.#phase.name === 'draining' || this.#phase.name === 'closed') return
    if (isBinary) this.refuse(new MeshError('bad_frame', 'binary frames are not spoken here'), closeCodes.badFrame)
    else if (data.length > this.#limit) this.refuse(new MeshError('too_large', `a frame is over ${this.#limit} bytes`), closeCodes.tooLarge)
    else if (this.#intake.busy) this.#intake.wait(data)
    else this.#dialogue.handle(data)
  }

  /** Takes the presence off this connection; what it returns marks it disconnected. */
  #leave(): () => void {
    const phase = this.#phase
    if (phase.name === 'greeting') phase.cancelDeadline()
    if (phase.name !== 'ready') return () => {}
    const { kernel, mesh, me } = phase.context
    if (me.link?.session !== this) return () => {}
    me.link.feed.close()
    return () => disconnected(kernel, mesh, me)
  }

  #closed(reason: string): void {
    if (this.#phase.name === 'closed') return
    for (const data of this.#intake.leftovers()) this.#dialogue.lastWord(data)
    const left = this.#leave()
    this.#become({ name: 'closed', reason })
    this.#cancelCut()
    this.#outbox.close()
    left()
    this.#host.closed(this)
  }
}
