import { MeshError, contract, isStorageAway, times, type Clock, type Log, type MessageId, type Output, type SessionPubkey } from '@claudemesh/protocol'
import type { Connection } from './connection.ts'
import type { Emitter } from './emitter.ts'
import type { Self } from './self.ts'
import type { KeptMessage, OutboxEntry, OutboxPort } from './ports.ts'
import type { MeshEvents } from './types.ts'

type Ack = Output<typeof contract.messages.send>

export interface OutboxOptions {
  readonly port: OutboxPort
  readonly session: SessionPubkey
  readonly clock: Clock
  readonly log: Log
  readonly connection: Connection
  readonly self: Self
  readonly events: Emitter<MeshEvents>
  /** The broker has stored this message of ours. */
  reached(id: MessageId, ack: Ack): Promise<void>
  /** Nothing of this session waits any more. */
  cleared(): void
}

/** Without its broker for so long, a send goes to disk. */
const moment = 2000
/** Another process is at it; a message could not be stored for now; other sessions of the member may have left something. */
const again = { locked: 250, refused: 10_000, idle: 60_000 } as const
const patience = 20_000

/** Sealed messages on disk that wait for the broker: those of this session, and those that other sessions of the member left. */
export class Outbox {
  readonly #o: OutboxOptions
  /** Messages of this session that wait on disk. */
  #own: boolean
  #ready = false
  #running: Promise<void> | undefined
  #cancel = () => {}
  readonly #waiters = new Set<(clear: boolean) => void>()
  readonly #losses = new Set<() => void>()
  #cancelLoss = () => {}
  #cancelExpiry = () => {}

  constructor(options: OutboxOptions) {
    this.#o = options
    this.#own = this.#mine()
    this.#expireLater()
  }

  /** Whether what is sent now may go out at once: the broker is there, and nothing of this session waits before it. */
  get clear(): boolean {
    return this.#ready && !this.#own
  }

  /** Resolves true as soon as the outbox is clear, false when that takes more than a moment. */
  async cleared(): Promise<boolean> {
    if (this.clear) return true
    if (this.#o.connection.state.phase === 'idle') return false
    return new Promise((resolve) => {
      const settle = (clear: boolean) => {
        this.#waiters.delete(settle)
        cancel()
        resolve(clear)
      }
      const cancel = this.#o.clock.after(moment, () => settle(false))
      this.#waiters.add(settle)
    })
  }

  /**
   * The broker's answer; `away` once the connection has been away for a moment, or when the broker's storage is. Then it is for all that wait, so that they come to
   * disk in their order. Recipients may have been pushed what the broker could not store: the same bytes must come again, and not the reader's another message.
   */
  async orAway<T>(answer: Promise<T>): Promise<T | 'away'> {
    let settle = () => {}
    const lost = new Promise<'away'>((resolve) => this.#losses.add((settle = () => resolve('away'))))
    const unlessAway = answer.catch((error: unknown) => {
      if (!(error instanceof MeshError) || !isStorageAway(error)) throw error
      this.#lose()
      return lost
    })
    try {
      return await Promise.race([unlessAway, lost])
    } finally {
      this.#losses.delete(settle)
    }
  }

  /** On disk when this returns. Throws `outbox_full`, or `outbox_unwritable` with what the disk says. */
  keep({ id, to, frame }: Pick<OutboxEntry, 'id' | 'to' | 'frame'>): void {
    const { port, clock, session, self } = this.#o
    this.#expire()
    port.keep({ id, at: clock.now(), to, session, chain: self.chain(), presence: self.presence(), frame })
    this.#own = true
    this.#expireLater()
    if (this.#ready) void this.flush()
  }

  find(id: MessageId): KeptMessage | undefined {
    return this.#o.port.find(id)
  }

  /** The connection came or went. */
  connected(ready: boolean): void {
    if (!ready && !this.#ready) return
    this.#ready = ready
    this.#cancelLoss()
    if (ready) void this.flush()
    else this.#cancelLoss = this.#o.clock.after(moment, () => this.#lose())
  }

  stop(): void {
    this.#ready = false
    this.#cancel()
    this.#cancelLoss()
    this.#cancelExpiry()
    for (const settle of this.#waiters) settle(false)
  }

  #lose(): void {
    for (const lose of this.#losses) lose()
  }

  /** Brings what waits to the broker, in order; resolves when nothing more can be done for now. */
  async flush(): Promise<void> {
    this.#running ??= this.#run().finally(() => (this.#running = undefined))
    await this.#running
  }

  async #run(): Promise<void> {
    const { port, log } = this.#o
    this.#cancel()
    let retry: number | undefined = again.locked
    try {
      await port.exclusively(async () => {
        retry = (await this.#sendAll()) ? undefined : again.refused
      })
    } catch (error) {
      retry = again.refused
      log('error', 'outbox_failed', { error: error instanceof MeshError ? error.code : 'internal' })
    }
    this.#own = this.#mine()
    // Something was kept just as the last look found nothing.
    if (this.#own && retry === undefined) retry = 0
    if (this.clear) {
      for (const settle of this.#waiters) settle(true)
      this.#o.cleared()
    }
    if (this.#ready) this.#cancel = this.#o.clock.after(retry ?? again.idle, () => void this.flush())
  }

  /** False when something must be tried again later. */
  async #sendAll(): Promise<boolean> {
    const blocked = new Set<SessionPubkey>()
    for (let entries = this.#o.port.list(); entries.length > 0; entries = this.#o.port.list().filter((entry) => !blocked.has(entry.session))) {
      for (const entry of entries) {
        if (!this.#ready) return false
        // One that cannot go keeps back what its session sent after it.
        if (!blocked.has(entry.session) && !(await this.#send(entry))) blocked.add(entry.session)
      }
    }
    return blocked.size === 0
  }

  async #send(entry: OutboxEntry): Promise<boolean> {
    const { port, clock, connection, session, events } = this.#o
    if (this.#isExpired(entry)) {
      this.#fail(entry, 'expired')
      return true
    }
    const { id, ciphertext, ...head } = entry.frame
    const forward = entry.session === session ? {} : { forward: { sessionPubkey: entry.session, chain: entry.chain, presence: entry.presence } }
    try {
      const ack = (await connection.ask(contract.messages.send, { ...head, ...forward, ciphertext }, { id, timeoutMs: patience })) as Ack
      if (ack.messageId !== entry.id) throw new MeshError('internal', 'the broker acknowledged another message')
      if (ack.queued === 0 && ack.missing.length === 0) this.#fail(entry, 'recipient_gone')
      else {
        port.settle(entry.id, { sentAt: clock.now() })
        events.emit('outbox', { id: entry.id, to: entry.to, stored: ack.queued })
      }
      await this.#o.reached(entry.id, ack)
      return true
    } catch (error) {
      // One reader who takes nothing out keeps back nobody else's messages: the sender is told, as if it had been there.
      const isFinal = error instanceof MeshError && (error.retry === 'never' || error.code === 'queue_full') && error.code !== 'closed'
      if (!isFinal) return false
      this.#fail(entry, error.code)
      return true
    }
  }

  #isExpired = ({ at }: OutboxEntry) => this.#o.clock.now() - at > times.outboxLife

  /** What cannot be written down as expired is sent no more all the same, and looked at again. */
  #expire(): void {
    try {
      for (const entry of this.#o.port.list()) if (this.#isExpired(entry)) this.#fail(entry, 'expired')
    } catch (error) {
      this.#o.log('error', 'outbox_failed', { cause: error instanceof Error ? error.name : 'unknown' })
    }
  }

  #expireLater(): void {
    const [oldest] = this.#o.port.list()
    this.#cancelExpiry()
    if (!oldest) return
    const left = oldest.at + times.outboxLife + 1 - this.#o.clock.now()
    this.#cancelExpiry = this.#o.clock.after(left > 0 ? left : again.refused, () => {
      this.#expire()
      this.#expireLater()
    })
  }

  #fail(entry: OutboxEntry, failed: string): void {
    this.#o.port.settle(entry.id, { failedAt: this.#o.clock.now(), failed })
    this.#o.log('warn', 'outbox_dropped', { messageId: entry.id, reason: failed })
    this.#o.events.emit('outbox', { id: entry.id, to: entry.to, failed })
  }

  #mine(): boolean {
    return this.#o.port.list().some((entry) => entry.session === this.#o.session)
  }
}
