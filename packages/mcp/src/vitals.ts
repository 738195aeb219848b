import type { Mesh } from '@claudemesh/client'
import type { Clock } from '@claudemesh/protocol'
import type { Delivery } from './delivery/delivery.ts'
import type { PathReport } from './delivery/paths.ts'

/** How a session fares, for its user: whether hooks fire, which ways into it work, how much waits. */
export interface Vitals {
  /** Its name in the mesh, once it is there. */
  readonly name?: string
  /** The last hook of Claude Code that called. */
  readonly hook?: { readonly event: string; readonly at: number }
  /** The best one first. */
  readonly paths: PathReport[]
  readonly waiting: number
}

const settle = 1000

/** Tells how the session fares: at once when hooks begin to fire or a path begins to work or to fail, else at most once a second. */
export class VitalSigns {
  readonly #clock: Clock
  readonly #tell: (vitals: Vitals) => void
  #session: { readonly mesh: Mesh; readonly delivery: Delivery } | undefined
  #hook: Vitals['hook']
  #told = ''
  #paths: PathReport[] | undefined
  #cancel: (() => void) | undefined

  constructor(clock: Clock, tell: (vitals: Vitals) => void) {
    this.#clock = clock
    this.#tell = tell
  }

  /** From now on of this session, until the returned function is called. */
  watch(mesh: Mesh, delivery: Delivery): () => void {
    this.#session = { mesh, delivery }
    this.#look()
    const offs = [mesh.on('message', () => this.#soon()), mesh.on('surfaced', () => this.#soon()), mesh.on('me', () => this.#soon())]
    return () => {
      for (const off of offs) off()
      this.#cancel?.()
    }
  }

  /** A hook called. */
  heard(event: string): void {
    const first = this.#hook === undefined
    this.#hook = { event, at: this.#clock.now() }
    if (first) this.#look()
    else this.#soon()
  }

  #soon(): void {
    if (statesOf(this.#session?.delivery.paths()) !== statesOf(this.#paths)) return this.#look()
    this.#cancel ??= this.#clock.after(settle, () => this.#look())
  }

  #look(): void {
    this.#cancel?.()
    this.#cancel = undefined
    const session = this.#session
    const vitals: Vitals = {
      ...(session ? { name: session.mesh.me.name } : {}),
      ...(this.#hook ? { hook: this.#hook } : {}),
      paths: session?.delivery.paths() ?? [],
      waiting: session?.mesh.inbox.size ?? 0,
    }
    const text = JSON.stringify(vitals)
    if (text === this.#told) return
    this.#told = text
    this.#paths = vitals.paths
    this.#tell(vitals)
  }
}

const statesOf = (paths: readonly PathReport[] = []) => paths.map(({ state }) => state).join(' ')
