import { limits } from '@claudemesh/protocol'

/** A stored value that changed: what it is called in its mesh, and how far it has come. */
export interface Change {
  readonly subject: string
  readonly version: number
}

// Every key of the state and the memories fit in, so that what is dropped is no key of now.
const most = limits.stateKeys + 1

/** What the sessions connected here were told of the stored values of one mesh, so that what the bus lost can be told late, and nothing twice. */
export class Told {
  readonly #versions = new Map<string, number>()

  note({ subject, version }: Change): void {
    const known = this.#versions.get(subject) ?? 0
    this.#versions.delete(subject)
    this.#versions.set(subject, Math.max(known, version))
    if (this.#versions.size <= most) return
    const [oldest] = this.#versions.keys()
    if (oldest !== undefined) this.#versions.delete(oldest)
  }

  /** Whether they know of this version, or of a later one. */
  knows({ subject, version }: Change): boolean {
    return (this.#versions.get(subject) ?? 0) >= version
  }
}
