import type { Body, Event } from '@claudemesh/protocol'

/** Who takes which event of the broker: one taker for each. */
export class Takes {
  readonly #takes = new Map<string, (body: never) => void>()

  put<E extends Event>(event: E, take: (body: Body<E>) => void): void {
    this.#takes.set(event.type, take)
  }

  /** The body was checked against the event's schema; an event that nobody takes is ignored. */
  call(type: string, body: unknown): void {
    this.#takes.get(type)?.(body as never)
  }
}
