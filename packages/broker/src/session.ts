import { isUtf8 } from 'node:buffer'
import type { Duplex } from 'node:stream'
import type { WebSocket } from 'ws'
import {
  closeCodes,
  limits,
  MeshError,
  parseClientFrame,
  parseJson,
  requests,
  times,
  toErrorFrame,
  type Json,
  type MeshId,
  type SessionPubkey,
} from '@claudemesh/protocol'
import { greetingTable, readyTable } from './features.ts'
import type { Kernel, Ready } from './kernel.ts'
import { disconnected } from './lifecycle.ts'
import { overloaded } from './load.ts'
import { Outbox } from './outbox.ts'
import { Reading } from './reading.ts'
import { refusalText } from './refusal.ts'
import { glance, refuseTooMany, scanSend, wholeSend, type SendHeader } from './scan.ts'
import { SendOrder } from './send-order.ts'
import { send } from './send.ts'
import { codeOf } from './asked.ts'
import { causeOf } from './cause.ts'
import { kindOf, unitsOf } from './units.ts'
import { storeFailure } from './store-failure.ts'

type Phase =
  | { readonly name: 'greeting'; readonly nonce: string; readonly cancelDeadline: () => void }
  | { readonly name: 'ready'; readonly context: Ready }
  | { readonly name: 'draining' }
  | { readonly name: 'closed'; readonly reason: string }

const moves: Record<Phase['name'], readonly Phase['name'][]> = {
  greeting: ['ready', 'draining', 'closed'],
  ready: ['draining', 'closed'],
  draining: ['closed'],
  closed: [],
}

/** Who keeps the connections: told once when one is no longer in greeting, and once when it is gone. */
export interface Host {
  greeted(): void
  closed(session: Session): void
}

const missedPings = 3
// Whoever does not answer a close is cut.
const patience = 5_000
// A hello with its frame header, and no more, may be read before anything is proven.
const greetingBytes = limits.frameBeforeHello + 64

/** One connection: greeting → ready → draining → closed. Its frames are handled in order, and no failure leaves it. */
export class Session {
  readonly #kernel: Kernel
  readonly #ws: WebSocket
  readonly #outbox: Outbox
  readonly #host: Host
  readonly #address: string
  readonly #reading: Reading
  readonly #isFree = () => !this.#busy
  #phase: Phase
  #busy = false
  #waiting: Buffer[] = []
  #missed = 0
  #cancelCut: () => void = () => {}
  /** Absent where the client does not ask for it. */
  #order: SendOrder | undefined

  constructor(kernel: Kernel, ws: WebSocket, { socket, address }: { socket: Duplex; address: string }, host: Host) {
    this.#kernel = kernel
    this.#ws = ws
    this.#host = host
    this.#address = address
    this.#reading = new Reading(kernel.reading, ws)
    this.#outbox = new Outbox(socket, kernel.turn, () => this.refuse(new MeshError('slow_consumer'), closeCodes.slowConsumer))
    const nonce = Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString('base64url')
    const cancelDeadline = kernel.clock.after(times.helloDeadline, () => this.refuse(new MeshError('hello_timeout'), closeCodes.helloTimeout))
    this.#phase = { name: 'greeting', nonce, cancelDeadline }
    this.#limitGreeting(socket)
    socket.on('drain', () => this.#ready?.me.link?.feed.catchUp())
    ws.on('message', (data, isBinary) => this.#receive(data as Buffer, isBinary))
    ws.on('pong', () => (this.#missed = 0))
    ws.on('error', (error) => kernel.log('info', 'socket_error', { cause: error.message }))
    ws.on('close', (code) => this.#closed(`closed ${code}`))
    this.write(JSON.stringify({ type: 'challenge', v: 1, nonce, time: kernel.clock.now() }))
  }

  get outbox(): Outbox {
    return this.#outbox
  }

  /** For whom this connection speaks, once that is proven. */
  get presence(): { readonly mesh: MeshId; readonly key: SessionPubkey } | undefined {
    const ready = this.#ready
    return ready && { mesh: ready.mesh.id, key: ready.me.key }
  }

  /** Whether nothing is proven yet, and the connection still stands. */
  get greeting(): boolean {
    return this.#phase.name === 'greeting'
  }

  /** Whether it has not even begun to greet. */
  get unheard(): boolean {
    return this.#phase.name === 'greeting' && !this.#busy
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

  get #ready(): Ready | undefined {
    return this.#phase.name === 'ready' ? this.#phase.context : undefined
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

  #limitGreeting(socket: Duplex): void {
    let bytes = 0
    const count = (chunk: Buffer) => {
      bytes += chunk.length
      if (this.#phase.name !== 'greeting') socket.off('data', count)
      else if (bytes > greetingBytes) {
        socket.off('data', count)
        this.refuse(new MeshError('too_large', `over ${limits.frameBeforeHello} bytes before hello`), closeCodes.tooLarge)
      }
    }
    socket.prependListener('data', count)
  }

  #receive(data: Buffer, isBinary: boolean): void {
    this.#missed = 0
    this.#reading.took(data.length, this.#isFree)
    if (this.#phase.name === 'draining' || this.#phase.name === 'closed') return
    if (isBinary) this.refuse(new MeshError('bad_frame', 'binary frames are not spoken here'), closeCodes.badFrame)
    else if (data.length > this.#limit) this.refuse(new MeshError('too_large', `a frame is over ${this.#limit} bytes`), closeCodes.tooLarge)
    else if (this.#busy) this.#wait(data)
    else this.#handle(data)
  }

  #wait(data: Buffer): void {
    this.#waiting.push(data)
    if (!this.#ws.isPaused) this.#ws.pause()
  }

  #handle(data: Buffer): void {
    const context = this.#ready
    if (context && this.#shed(context, data)) return
    try {
      const scanned = context && scanSend(data)
      if (scanned) this.#send(context, scanned)
      else this.#dispatch(data)
    } catch (error) {
      this.fail(error, idOf(data))
    }
  }

  /** Refuses before it is read what is refused anyway: that must cost little. */
  #shed(context: Ready, data: Buffer): boolean {
    const { kernel, mesh } = context
    const now = kernel.clock.now()
    const why = kernel.limiter.exhausted(context, now) ?? (!kernel.load.easy && kernel.load.full(mesh.id, now) ? overloaded : undefined)
    const seen = why || this.#order?.waits ? glance(data) : undefined
    if (!seen) return false
    const refusal = seen.volatile ? why : (this.#order?.before(seen.id, kernel.clock) ?? why)
    // A volatile message needs no room in the store.
    if (!refusal || (refusal === overloaded && seen.volatile)) return false
    if (refusal === why && !seen.volatile) this.#order?.refused(seen.id, refusal, kernel.clock)
    if (refusal.code === 'overloaded') kernel.load.refused()
    kernel.meter.count('refusals', refusal.code)
    this.write(refusalText(refusal, seen.id))
    return true
  }

  #send(context: Ready, scanned: NonNullable<ReturnType<typeof scanSend>>): void {
    const { header } = scanned
    const { kernel } = context
    const before = header.volatile === true ? undefined : this.#order?.before(header.id, kernel.clock)
    if (before) {
      this.fail(new MeshError(before.code, before.message, before), header.id)
      return
    }
    try {
      const later = send(context, scanned)
      if (later) {
        this.#busy = true
        void later.catch((error: unknown) => this.failSend(error, header)).finally(() => this.#next())
        return
      }
    } catch (error) {
      this.failSend(error, header)
      return
    }
    if (!kernel.writer.full || this.#busy) return
    this.#busy = true
    this.#ws.pause()
    kernel.writer.whenReady(() => this.#next())
  }

  #dispatch(data: Buffer): void {
    if (!isUtf8(data)) throw new MeshError('bad_frame', 'the frame is not UTF-8')
    const json = parseJson(data.toString())
    const context = this.#ready
    refuseTooMany(json)
    if (context && json.type === 'send') {
      // The frame is checked whole, so that a missing id is named as in any request.
      parseClientFrame(json)
      this.#send(context, wholeSend(json))
      return
    }
    const answered = this.#answer(json)
    if (!answered) return
    this.#busy = true
    void answered.finally(() => this.#next())
  }

  /** Handles one frame of the contract; a promise when the next frame has to wait. */
  #answer(json: Json): Promise<void> | undefined {
    const { member, id, input } = parseClientFrame(json)
    const phase = this.#phase
    const needed = member.kind === 'request' ? member.phase : 'ready'
    if (needed === 'greeting') {
      if (phase.name !== 'greeting') throw new MeshError('already_ready')
      const refused = this.#tooManyGreetings()
      if (refused) {
        this.refuse(refused, closeCodes.tryLater, id)
        return undefined
      }
      const handler = greetingTable.get(member)
      const context = { kernel: this.#kernel, session: this, nonce: phase.nonce }
      return this.#settle(async () => handler?.(context, input as never), member, id, true)
    }
    if (phase.name !== 'ready') throw new MeshError('not_ready')
    if (member.kind === 'notice') this.#slow(phase.context, unitsOf(input as object))
    else this.#kernel.limiter.spend(phase.context, this.#kernel.clock.now(), kindOf(member))
    const result = readyTable.get(member)?.(phase.context, input as never)
    if (result instanceof Promise) return this.#settle(() => result, member, id, false)
    if (member.kind === 'request') this.#reply(member.reply, id, result)
    return undefined
  }

  async #settle(
    work: () => Promise<unknown>,
    member: { readonly type: string; readonly reply?: string },
    id: string | undefined,
    final: boolean,
  ): Promise<void> {
    const began = this.#kernel.clock.now()
    const span = this.#kernel.tracer?.begin(member.type)
    try {
      const output = await work()
      const { presence } = this
      span?.end(presence && { mesh: presence.mesh, session: presence.key })
      this.#kernel.meter.observe('request_seconds', (this.#kernel.clock.now() - began) / 1000)
      if (final) this.#kernel.meter.count('greetings', member.reply ?? '')
      if (member.reply !== undefined) this.#reply(member.reply, id, output)
      if (final) this.#ready?.me.link?.feed.catchUp()
    } catch (error) {
      span?.end({ code: codeOf(error) })
      if (final) this.#kernel.limiter.refused(this.#address)
      // Who fails to prove itself gets no second try on the same nonce.
      if (final && error instanceof MeshError) this.refuse(error, error.code === 'revoked' ? closeCodes.revoked : closeCodes.unauthorized, id)
      else this.fail(error, id)
    }
  }

  #tooManyGreetings(): MeshError | undefined {
    try {
      this.#kernel.limiter.greet(this.#address, this.#kernel.clock.now())
      return undefined
    } catch (error) {
      if (error instanceof MeshError) return error
      throw error
    }
  }

  /** A notice gets no answer that could refuse it, so whoever sends too many is read more slowly. */
  #slow(context: Ready, units: number): void {
    const wait = this.#kernel.limiter.slow(context, this.#kernel.clock.now(), 'receipts', units)
    if (wait === 0 || this.#busy) return
    this.#busy = true
    this.#ws.pause()
    this.#kernel.clock.after(wait, () => this.#next())
  }

  #reply(type: string, id: string | undefined, output: unknown): void {
    this.write(JSON.stringify({ type, id, ...(output as object) }))
  }

  #next(): void {
    this.#busy = false
    while (!this.#busy && this.#waiting.length > 0) this.#receive(this.#waiting.shift() as Buffer, false)
    if (!this.#busy && this.#ws.isPaused) this.#ws.resume()
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
    this.#lastWords()
    const left = this.#leave()
    this.#become({ name: 'closed', reason })
    this.#cancelCut()
    this.#outbox.close()
    this.#waiting = []
    left()
    this.#host.closed(this)
  }

  /** What the peer said while an earlier frame was under way, and before it closed: its receipts and its goodbye still count. */
  #lastWords(): void {
    for (const data of this.#waiting.splice(0)) {
      try {
        const json = parseJson(data.toString())
        if (this.#phase.name === 'ready' && requests.get(json.type)?.kind === 'notice') void this.#answer(json)
      } catch (error) {
        this.#kernel.log('info', 'last_word_ignored', { code: error instanceof MeshError ? error.code : 'internal' })
      }
    }
  }
}

function idOf(data: Buffer): string | undefined {
  try {
    const { id } = parseJson(data.toString())
    return typeof id === 'string' && id.length > 0 && id.length <= 64 ? id : undefined
  } catch {
    return undefined
  }
}
