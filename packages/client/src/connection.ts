import type { Random } from '@claudemesh/crypto'
import {
  MeshError,
  check,
  closeCodes,
  contract,
  events,
  fromErrorFrame,
  parseJson,
  times,
  type Body,
  type Clock,
  type ErrorCode,
  type Json,
  type Log,
  type Output,
  type Request,
} from '@claudemesh/protocol'
import { backoff } from './backoff.ts'
import type { Dial, Wire } from './dial.ts'
import { Requests, type AskOptions } from './requests.ts'
import { mayBecome, type ConnectionState } from './connection-state.ts'

export type Challenge = Body<typeof contract.session.challenge>
export type HelloAck = Output<typeof contract.session.hello>

export interface ConnectionOptions {
  readonly url: string
  readonly dial: Dial
  readonly clock: Clock
  readonly log: Log
  readonly random: Random
  readonly persist: boolean
  /** The hello for this challenge, without id. */
  hello(challenge: Challenge): Record<string, unknown>
  /** The broker accepted the session. Throwing ends the connection for good. */
  accepted(ack: HelloAck): void
  event(type: string, body: unknown): void
  changed(state: ConnectionState): void
}

const silence = times.ping * 2.5
const patience = 10_000
const stableAfter = 10_000
/** However long the broker says. */
const longestWait = 300_000
const ended: ReadonlySet<ErrorCode> = new Set(['revoked', 'replaced'])

/** The connection of one session: dials, says hello, notices a dead line, and dials again until closed. */
export class Connection implements AsyncDisposable {
  readonly requests: Requests
  readonly #o: ConnectionOptions
  #state: ConnectionState = { phase: 'idle' }
  #wire: Wire | undefined
  /** Grows with each socket, so that a late event of an old one is ignored. */
  #life = 0
  #attempt = 0
  #seen = 0
  #word: MeshError | undefined
  #cancel: () => void = () => {}
  #wireGone: () => void = () => {}
  readonly #waiters = new Set<(error?: MeshError) => void>()
  #everReady = false

  constructor(options: ConnectionOptions) {
    this.#o = options
    this.requests = new Requests(options.clock)
  }

  get state(): ConnectionState {
    return this.#state
  }

  /** Starts dialling. What comes of it is told through `changed`. */
  open(): void {
    this.#dial()
  }

  ask(request: Request, input: Record<string, unknown>, options?: AskOptions): Promise<unknown> {
    if (this.#state.phase === 'closed') return Promise.reject(this.#state.reason)
    if (this.#state.phase === 'idle') return Promise.reject(new MeshError('unavailable', 'the broker is away'))
    return this.requests.ask(request, input, options)
  }

  /** Resolves when the session may send; rejects with `unavailable` when that takes over ten seconds, or with why it ended. */
  ready(): Promise<void> {
    if (this.#state.phase === 'ready') return Promise.resolve()
    if (this.#state.phase === 'closed') return Promise.reject(this.#state.reason)
    return new Promise((resolve, reject) => {
      const cancel = this.#o.clock.after(patience, () => settle(new MeshError('unavailable')))
      const settle = (error?: MeshError) => {
        this.#waiters.delete(settle)
        cancel()
        if (error) reject(error)
        else resolve()
      }
      this.#waiters.add(settle)
    })
  }

  /** Sends a notice if connected; a notice that meets no connection is moot. */
  notify(type: string, body: Record<string, unknown>): boolean {
    if (this.#state.phase !== 'ready') return false
    this.#wire?.send(JSON.stringify({ type, ...body }))
    return true
  }

  /** Says hello anew on a fresh socket, with the same session key. */
  redial(): void {
    if (this.#state.phase !== 'ready') return
    this.#drop(new MeshError('unavailable', 'the connection is being renewed'), 1000)
    this.#attempt = 0
    this.#dial()
  }

  /** The broker accepted the session, and the session can do nothing with it for this reason: another attempt follows, later each time. */
  failed(cause: MeshError): void {
    if (this.#state.phase === 'ready') this.#lost(cause)
  }

  /** Ends for good; resolves when the socket is gone. */
  async close(reason = new MeshError('closed')): Promise<void> {
    if (this.#state.phase === 'closed') return
    const wire = this.#wire
    const gone = new Promise<void>((resolve) => (this.#wireGone = resolve))
    this.#cancel()
    this.#become({ phase: 'closed', reason })
    this.requests.closed(reason)
    if (!wire) return
    const cancel = this.#o.clock.after(1000, () => wire.close(1006, ''))
    wire.close(1000, '')
    await gone
    cancel()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  #become(next: ConnectionState): void {
    if (!mayBecome(this.#state.phase, next.phase)) throw new MeshError('internal', `the connection cannot go from ${this.#state.phase} to ${next.phase}`)
    this.#state = next
    this.#o.changed(next)
    if (next.phase === 'ready') for (const settle of this.#waiters) settle()
    if (next.phase === 'closed') for (const settle of this.#waiters) settle(next.reason)
  }

  #dial(): void {
    this.#attempt++
    this.#word = undefined
    const life = ++this.#life
    const mine =
      <A extends unknown[]>(f: (...args: A) => void) =>
      (...args: A) => {
        if (life === this.#life) f(...args)
      }
    this.#become({ phase: 'dialing', attempt: this.#attempt })
    this.#wire = this.#o.dial(this.#o.url, {
      open: mine(() => this.#opened()),
      text: mine((data) => this.#received(data)),
      ping: mine(() => (this.#seen = this.#o.clock.now())),
      close: mine((code, error) => this.#ended(code, error)),
    })
  }

  #opened(): void {
    if (this.#state.phase !== 'dialing') return
    this.#become({ phase: 'greeting', attempt: this.#attempt })
    this.#cancel = this.#o.clock.after(times.helloDeadline, () => this.#lost(new MeshError('timeout', 'the broker did not answer the hello in time')))
  }

  #received(data: string): void {
    this.#seen = this.#o.clock.now()
    try {
      const json = parseJson(data)
      if (this.#state.phase === 'greeting') this.#greet(json)
      else if (this.#state.phase === 'ready') this.#take(json)
    } catch (error) {
      this.#o.log('warn', 'frame_ignored', { error: error instanceof MeshError ? error.code : 'internal' })
    }
  }

  #greet(json: Json): void {
    if (json.type === 'challenge') {
      const challenge = check(json.type, contract.session.challenge.body, json)
      this.#wire?.send(JSON.stringify({ type: 'hello', ...this.#o.hello(challenge), id: 'hello' }))
      return
    }
    if (json.type === 'error') {
      const error = fromErrorFrame(json)
      if (error.retry === 'never') void this.close(error)
      else this.#lost(error)
      return
    }
    if (json.type === 'hello_ack') this.#accepted(check(json.type, contract.session.hello.output, json))
  }

  #accepted(ack: HelloAck): void {
    this.#cancel()
    try {
      this.#o.accepted(ack)
    } catch (error) {
      void this.close(error instanceof MeshError ? error : new MeshError('internal', undefined, { cause: error }))
      return
    }
    this.#become({ phase: 'ready', since: this.#o.clock.now() })
    this.#listen()
    const wire = this.#wire
    this.requests.connected((text) => wire?.send(text))
  }

  #take(json: Json): void {
    if (this.requests.answer(json)) return
    // With an id it answers what nobody waits for any more.
    if (json.type === 'error' && json['id'] === undefined) {
      this.#word = fromErrorFrame(json)
      this.#o.log('warn', 'broker_error', { code: this.#word.code })
      return
    }
    const event = events.get(json.type)
    if (event) this.#o.event(json.type, check(json.type, event.body, json))
    else this.#o.log('debug', 'unknown_event')
  }

  #ended(code: number, error: string | undefined): void {
    this.#wire = undefined
    if (this.#state.phase === 'closed') {
      this.#wireGone()
      return
    }
    const cause = causeOf(code, error, this.#word)
    // What ended a session that was accepted may be mended by a new hello; the answer to that one is final.
    const final = this.#state.phase === 'ready' ? ended.has(cause.code) : cause.retry === 'never'
    if (final) void this.close(cause)
    else this.#lost(cause)
  }

  /** Gives the socket up and plans the next attempt. */
  #lost(cause: MeshError): void {
    const state = this.#state
    if (state.phase === 'closed' || state.phase === 'waiting' || state.phase === 'idle') return
    if (state.phase === 'ready' && this.#o.clock.now() - state.since >= stableAfter) this.#attempt = 0
    if (state.phase !== 'ready' && !this.#o.persist && !this.#everReady) {
      void this.close(cause)
      return
    }
    this.#drop(cause, 1006)
    const wait = this.#pause(cause)
    this.#become({ phase: 'waiting', until: this.#o.clock.now() + wait, attempt: this.#attempt, cause })
    this.#cancel = this.#o.clock.after(wait, () => this.#dial())
  }

  /** As long as the broker says, within reason: only once may that be at once. */
  #pause({ retryAfter }: MeshError): number {
    const least = backoff(Math.max(1, this.#attempt), this.#o.random)
    if (retryAfter === undefined) return least
    return Math.min(Math.max(retryAfter, this.#attempt > 1 ? least : 0), longestWait)
  }

  #drop(cause: MeshError, code: number): void {
    this.#cancel()
    this.#life++
    this.#wire?.close(code, '')
    this.#wire = undefined
    this.requests.disconnected(cause)
  }

  /** Watches for a line that is dead without having closed: no ping and no frame for 75 s, and no answer when asked. */
  #listen(): void {
    this.#everReady = true
    const life = this.#life
    const watch = (): void => {
      const now = this.#o.clock.now()
      // A clock that was set back must not put off the look at a dead line.
      this.#seen = Math.min(this.#seen, now)
      const quiet = now - this.#seen
      if (quiet < silence) {
        this.#cancel = this.#o.clock.after(silence - quiet, watch)
        return
      }
      this.requests.ask(contract.session.getPolicy, {}, { timeoutMs: patience }).then(
        () => life === this.#life && watch(),
        () => life === this.#life && unlessSilent(),
      )
    }
    // A refusal is an answer too.
    const unlessSilent = (): void => {
      if (this.#o.clock.now() - this.#seen < silence) watch()
      else this.#lost(new MeshError('unavailable', 'the broker went silent'))
    }
    this.#seen = this.#o.clock.now()
    watch()
  }
}

function causeOf(code: number, error: string | undefined, word: MeshError | undefined): MeshError {
  if (word && (code >= 4000 || code === closeCodes.restart || code === closeCodes.tryLater)) return word
  if (code === closeCodes.revoked) return new MeshError('revoked')
  if (code === closeCodes.unauthorized) return new MeshError('unauthorized')
  if (code === closeCodes.replaced) return new MeshError('replaced')
  if (code === closeCodes.slowConsumer) return new MeshError('slow_consumer')
  if (code === closeCodes.restart) return new MeshError('shutting_down')
  return new MeshError('unavailable', error === undefined ? 'the connection to the broker was lost' : `the broker cannot be reached: ${error}`)
}
