import { MeshError, check, fromErrorFrame, isPutOff, times, type Clock, type Json, type Request } from '@claudemesh/protocol'

export interface AskOptions {
  /** The request's id; `send` brings its own. */
  readonly id?: string
  /** Sent again with identical bytes after a reconnect instead of failing. Only for requests that are idempotent. */
  readonly keep?: boolean
  readonly timeoutMs?: number
}

interface Pending {
  readonly request: Request
  readonly text: string
  readonly keep: boolean
  sent: boolean
  /** For how long the broker has put it off, all in all. */
  putOff: number
  readonly resolve: (output: unknown) => void
  readonly reject: (error: MeshError) => void
  readonly cancelTimeout: () => void
}

/** Nothing of a type is sent, because the broker put one off. */
interface Hold {
  readonly until: number
  /** The time is over, and answers are still to come. */
  due: boolean
  readonly cancel: () => void
}

const most = 4096

/** Requests under way: matches answers by id, and decides what a lost connection means for each. */
export class Requests {
  readonly #pending = new Map<string, Pending>()
  readonly #clock: Clock
  #transmit: ((text: string) => void) | undefined
  #next = 0
  readonly #held = new Map<string, Hold>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  get size(): number {
    return this.#pending.size
  }

  /** Sends a request, now or once connected, and resolves with its checked answer. Rejects with the broker's error, `timeout` or `unavailable`. */
  ask(request: Request, input: Record<string, unknown>, options: AskOptions = {}): Promise<unknown> {
    if (this.#pending.size >= most) return Promise.reject(new MeshError('rate_limited', `${most} requests wait for the broker already`))
    const id = options.id ?? `r${++this.#next}`
    if (this.#pending.has(id)) return Promise.reject(new MeshError('id_conflict', 'a request of this id is under way'))
    return new Promise((resolve, reject) => {
      const pending: Pending = {
        request,
        text: JSON.stringify({ type: request.type, id, ...input }),
        keep: options.keep ?? false,
        sent: false,
        putOff: 0,
        resolve,
        reject,
        cancelTimeout: this.#clock.after(options.timeoutMs ?? 10_000, () => this.#expire(id)),
      }
      this.#pending.set(id, pending)
      this.#send(pending)
    })
  }

  /** Nobody waits for this answer any more, and it is not sent again. */
  abandon(id: string): void {
    this.#settle(id)?.reject(new MeshError('unavailable'))
  }

  /** The connection is ready: what waits is sent, oldest first. */
  connected(transmit: (text: string) => void): void {
    this.#transmit = transmit
    for (const type of this.#held.keys()) this.#resume(type)
    for (const pending of this.#pending.values()) this.#send(pending)
  }

  /** The connection is lost: what was sent and may not be repeated fails. */
  disconnected(cause: MeshError): void {
    this.#transmit = undefined
    for (const [id, pending] of this.#pending) {
      if (pending.sent && !pending.keep) this.#settle(id)?.reject(cause)
      else pending.sent = false
    }
  }

  /** The session is over. */
  closed(reason: MeshError): void {
    this.#transmit = undefined
    for (const { cancel } of this.#held.values()) cancel()
    this.#held.clear()
    for (const id of this.#pending.keys()) this.#settle(id)?.reject(reason)
  }

  /** Takes a frame with an id; false when it answers nothing that waits. */
  answer(json: Json): boolean {
    const id = json['id']
    const known = typeof id === 'string' ? this.#pending.get(id) : undefined
    if (typeof id !== 'string' || !known?.sent) return false
    const error = json.type === 'error' ? refusalOf(json) : undefined
    if (error && this.#putOff(known, error)) return true
    const pending = this.#settle(id)
    if (!pending) return false
    try {
      if (error) throw error
      if (json.type !== pending.request.reply) throw new MeshError('bad_frame', `${pending.request.type} was answered by ${json.type}`)
      pending.resolve(check(json.type, pending.request.output, json))
    } catch (error) {
      pending.reject(error instanceof MeshError ? error : new MeshError('internal', undefined, { cause: error }))
    }
    return true
  }

  /** Waits as long as the broker says. Others of the type wait with it: sent now, they would overtake it or be put off too. */
  #putOff(pending: Pending, error: MeshError): boolean {
    const { retryAfter = 0 } = error
    if (!isPutOff(error) || pending.putOff + retryAfter > times.putOff) return false
    pending.putOff += retryAfter
    pending.sent = false
    const { type } = pending.request
    const until = this.#clock.now() + retryAfter
    const hold = this.#held.get(type)
    if (hold && hold.until >= until) this.#resume(type)
    else {
      hold?.cancel()
      this.#held.set(type, this.#holdUntil(until, retryAfter, type))
    }
    return true
  }

  #holdUntil(until: number, wait: number, type: string): Hold {
    const hold: Hold = {
      until,
      due: false,
      cancel: this.#clock.after(wait, () => {
        hold.due = true
        this.#resume(type)
      }),
    }
    return hold
  }

  /** Sends what was held, oldest first, once that is due and everything behind the oldest is answered: what is under way could not be put in order. */
  #resume(type: string): void {
    if (!this.#held.get(type)?.due || this.#isOvertaken(type)) return
    this.#held.delete(type)
    for (const waiting of this.#pending.values()) this.#send(waiting)
  }

  #isOvertaken(type: string): boolean {
    let waits = false
    for (const { request, sent } of this.#pending.values()) {
      if (request.type !== type) continue
      if (sent && waits) return true
      waits ||= !sent
    }
    return false
  }

  #send(pending: Pending): void {
    if (!this.#transmit || pending.sent || this.#held.has(pending.request.type)) return
    pending.sent = true
    this.#transmit(pending.text)
  }

  #expire(id: string): void {
    const sent = this.#pending.get(id)?.sent
    this.#settle(id)?.reject(sent ? new MeshError('timeout') : new MeshError('unavailable'))
  }

  #settle(id: string): Pending | undefined {
    const pending = this.#pending.get(id)
    this.#pending.delete(id)
    pending?.cancelTimeout()
    if (pending) this.#resume(pending.request.type)
    return pending
  }
}

function refusalOf(json: Json): MeshError {
  try {
    return fromErrorFrame(json)
  } catch (error) {
    return error instanceof MeshError ? error : new MeshError('internal', undefined, { cause: error })
  }
}
