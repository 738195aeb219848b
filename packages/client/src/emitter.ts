import type { Log } from '@claudemesh/protocol'

/** Typed events. A handler that throws is logged and does not disturb the others. */
export class Emitter<E> {
  readonly #handlers = new Map<keyof E, Set<(body: never) => void>>()
  readonly #log: Log

  constructor(log: Log) {
    this.#log = log
  }

  /** Calls the handler at each event until the returned function is called. */
  on<K extends keyof E>(event: K, handler: (body: E[K]) => void): () => void {
    const set = this.#handlers.get(event) ?? new Set()
    this.#handlers.set(event, set)
    set.add(handler)
    return () => set.delete(handler)
  }

  emit<K extends keyof E>(event: K, body: E[K]): void {
    for (const handler of this.#handlers.get(event) ?? []) {
      try {
        ;(handler as (body: E[K]) => void)(body)
      } catch (cause) {
        this.#log('error', 'handler_failed', { on: String(event), error: cause instanceof Error ? cause.name : 'unknown' })
      }
    }
  }
}
