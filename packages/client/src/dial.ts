/** One WebSocket as the client uses it. After `close` nothing more is reported. */
export interface Wire {
  send(text: string): void
  /** Ends the socket; `close` of the events follows. */
  close(code: number, reason: string): void
}

export interface WireEvents {
  open(): void
  text(data: string): void
  /** The broker's WebSocket ping, where the platform shows it. */
  ping(): void
  /** Once, after which nothing follows. `error` says why a dial failed. */
  close(code: number, error?: string): void
}

/** Opens a WebSocket. Never throws: a failed dial is a `close`. */
export type Dial = (url: string, events: WireEvents) => Wire
