import { limits, MeshError, type FileId, type MeshId, type SessionPubkey } from '@claudemesh/protocol'

/** The file transfers that are under way in this process. */
export class Transfers {
  readonly #bySession = new Map<SessionPubkey, number>()
  readonly #uploads = new Set<string>()

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
