import type { ReceivedMessage } from '@claudemesh/client'

/** Which peer message, if any, the present turn of the session goes back to. */
export class Cause {
  #hops: number | undefined
  #thread: string | undefined

  /** A prompt came: a user's, or one that carries messages. */
  prompted(messages: readonly ReceivedMessage[], byPeer: boolean, idle: boolean, thread: string | undefined): void {
    const hops = Math.max(0, ...messages.map((message) => message.hops))
    if (!byPeer) this.#set(undefined, undefined)
    else if (idle) this.#set(hops, thread)
    else if (this.#hops !== undefined) this.#set(Math.max(this.#hops, hops), thread ?? this.#thread)
  }

  /** A turn that had ended goes on because of messages. */
  resumed(messages: readonly ReceivedMessage[], thread: string | undefined): void {
    this.#set(Math.max(0, ...messages.map((message) => message.hops)), thread)
  }

  /** What a message bears that is sent now. */
  get hops(): number {
    return this.#hops === undefined ? 0 : this.#hops + 1
  }

  /** The thread that a message without a better one continues. */
  get thread(): string | undefined {
    return this.#thread
  }

  #set(hops: number | undefined, thread: string | undefined): void {
    this.#hops = hops
    this.#thread = thread
  }
}
