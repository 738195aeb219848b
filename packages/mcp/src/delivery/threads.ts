import type { ReceivedMessage } from '@claudemesh/client'
import type { MessageId, SessionPubkey } from '@claudemesh/protocol'

const remembered = 8192

/** Which messages belong together: a message continues the one it answers; one that names none, though a message caused it, continues what was last said with its sender. */
export class Threads {
  /** The first message of each thread, by each of its messages. */
  readonly #roots = new Map<string, string>()
  readonly #lastWith = new Map<SessionPubkey, string>()

  /** The thread of a message that came. */
  of({ id, re, hops, from }: ReceivedMessage): string {
    const known = this.#roots.get(id)
    if (known !== undefined) return known
    const root = (re === undefined ? undefined : this.#roots.get(re)) ?? (hops > 0 ? this.#lastWith.get(from.session) : undefined) ?? re ?? id
    this.#put(id, root)
    keep(this.#lastWith, from.session, root)
    return root
  }

  /** A message went out: in answer to another one, or because of one. */
  sent(id: MessageId, to: readonly SessionPubkey[], re: string | undefined, cause: string | undefined): void {
    const root = (re === undefined ? undefined : (this.#roots.get(re) ?? re)) ?? cause ?? id
    this.#put(id, root)
    for (const session of to) keep(this.#lastWith, session, root)
  }

  #put(id: string, root: string): void {
    keep(this.#roots, id, root)
  }
}

function keep<K>(map: Map<K, string>, key: K, value: string): void {
  map.delete(key)
  map.set(key, value)
  const [oldest] = map.keys()
  if (map.size > remembered && oldest !== undefined) map.delete(oldest)
}
