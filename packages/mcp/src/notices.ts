import type { Mesh } from '@claudemesh/client'

/** What the model should know beside the messages: how many were refused, never came, or never went. */
export class Notices {
  readonly #refused = new Map<string, number>()
  readonly #missing = new Map<string, number>()
  readonly #state = new Map<string, number>()
  readonly #unsent = new Map<string, number>()

  /** Counts from now on, until the returned function is called. */
  watch(mesh: Mesh): () => void {
    const offs = [
      mesh.on('refused', ({ fingerprint }) => add(this.#refused, fingerprint, 1)),
      mesh.on('gap', ({ from, missing }) => add(this.#missing, from, missing)),
      mesh.on('stateRefused', ({ reason }) => add(this.#state, reason, 1)),
      mesh.on('outbox', ({ to, failed }) => failed !== undefined && add(this.#unsent, `${to.join(', ')}: ${failed}`, 1)),
    ]
    return () => offs.forEach((off) => off())
  }

  /** The notices so far, as lines. They are told once, unless they are given back. */
  drain(): { readonly lines: string[]; giveBack(): void } {
    const refused = [...this.#refused]
    const missing = [...this.#missing]
    this.#refused.clear()
    this.#missing.clear()
    const state = [...this.#state]
    this.#state.clear()
    const unsent = [...this.#unsent]
    this.#unsent.clear()
    return {
      lines: [
        ...refused.map(([from, n]) => `[${count(n)} from ${from} could not be verified and ${n === 1 ? 'was' : 'were'} not shown]`),
        ...missing.map(([from, n]) => `[${count(n)} from ${from} did not arrive]`),
        ...state.map(
          ([reason, n]) =>
            `[${n === 1 ? '1 change' : `${n} changes`} of the shared state could not be verified and ${n === 1 ? 'was' : 'were'} not shown: ${reason}]`,
        ),
        ...unsent.map(([what, n]) => `[${count(n)} of yours never left this machine, to ${what}]`),
      ],
      giveBack: () => {
        for (const [from, n] of refused) add(this.#refused, from, n)
        for (const [from, n] of missing) add(this.#missing, from, n)
        for (const [reason, n] of state) add(this.#state, reason, n)
        for (const [what, n] of unsent) add(this.#unsent, what, n)
      },
    }
  }
}

const count = (n: number) => (n === 1 ? '1 message' : `${n} messages`)

function add(map: Map<string, number>, key: string, n: number): void {
  if (map.has(key) || map.size < 100) map.set(key, (map.get(key) ?? 0) + n)
}
