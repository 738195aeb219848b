import { limits, MeshError, times, type FileId, type MeshId, type SessionPubkey } from '@claudemesh/protocol'

/** The file transfers of this process: which are under way, and which signed requests were used. */
export class Transfers {
  readonly #used = new Map<string, number>()
  readonly #bySession = new Map<SessionPubkey, number>()
  readonly #uploads = new Set<string>()

  /** Takes a signed request once. Throws `unauthorized` for one that was taken before. */
  use(session: SessionPubkey, nonce: string, now: number): void {
    for (const [key, until] of this.#used) {
      if (until >= now) break
      this.#used.delete(key)
    }
    const key = `${session} ${nonce}`
    if (this.#used.has(key)) throw new MeshError('unauthorized')
    // Signed up to one skew ahead of us, it is fresh for two.
    this.#used.set(key, now + 2 * times.skew)
  }

  /** Counts a transfer of this session until the scope ends. Throws `rate_limited` when it has too many. */
  begin(session: SessionPubkey): Disposable {
    const running = this.#bySession.get(session) ?? 0
    if (running >= limits.transfersPerSession) throw new MeshError('rate_limited', `${running} transfers are under way`, { retryAfter: 1000 })
    this.#bySession.set(session, running + 1)
    return {
      [Symbol.dispose]: () => {
        const left = (this.#bySession.get(session) ?? 1) - 1
        if (left === 0) this.#bySession.delete(session)
        else this.#bySession.set(session, left)
      },
    }
  }

  /** Marks an upload as moving until the scope ends: the sweep leaves it alone. Throws `wrong_offset` when it moves already. */
  moving(mesh: MeshId, file: FileId): Disposable {
    const key = `${mesh} ${file}`
    if (this.#uploads.has(key)) throw new MeshError('wrong_offset', 'another request sends this file right now')
    this.#uploads.add(key)
    return { [Symbol.dispose]: () => this.#uploads.delete(key) }
  }

  isMoving(mesh: MeshId, file: FileId): boolean {
    return this.#uploads.has(`${mesh} ${file}`)
  }
}
