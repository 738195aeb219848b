import { MeshError, parseGroup, type Status } from '@claudemesh/protocol'
import type { Connection } from './connection.ts'
import type { Kernel } from './kernel.ts'
import type { Attributes } from './self.ts'

/** What this session says of itself, as it changes: signed anew each time, one change after another. */
export class OwnAttributes {
  readonly #kernel: Kernel
  readonly #connection: Connection
  #changing: Promise<unknown> = Promise.resolve()
  #statusSet = false

  constructor(kernel: Kernel, connection: Connection) {
    this.#kernel = kernel
    this.#connection = connection
  }

  /** Throws `bad_name`. */
  setSummary(summary: string): Promise<void> {
    return this.#change(
      () => ({ summary }),
      (presence, attributes) => this.#kernel.calls.peers.setSummary({ summary: attributes.summary ?? '', presence }),
    )
  }

  /** Holds at once; the broker hears of it now, or after the reconnect. */
  async setStatus(status: Status): Promise<void> {
    const { state } = this.#connection
    if (state.phase === 'closed') throw state.reason
    const { self, events } = this.#kernel
    self.status = status
    this.#statusSet = true
    events.emit('me', self.me)
    if (state.phase !== 'ready') return
    try {
      await this.#kernel.calls.peers.setStatus({ status })
    } catch (error) {
      if (!(error instanceof MeshError) || error.code !== 'unavailable') throw error
    }
  }

  /** Tells a broker that begins with us anew the status that was set. */
  async repeatStatus(): Promise<void> {
    if (this.#statusSet) await this.#kernel.calls.peers.setStatus({ status: this.#kernel.self.status })
  }

  joinGroup(name: string, role?: string): Promise<void> {
    const group = { name: parseGroup(name), ...(role === undefined ? {} : { role }) }
    return this.#change(
      () => ({ groups: [...this.#without(group.name), group] }),
      (presence) => this.#kernel.calls.groups.join({ ...group, presence }),
    )
  }

  leaveGroup(name: string): Promise<void> {
    const group = parseGroup(name)
    return this.#change(
      () => ({ groups: this.#without(group) }),
      (presence) => this.#kernel.calls.groups.leave({ name: group, presence }),
    )
  }

  #without(group: string): Attributes['groups'] {
    return this.#kernel.self.me.groups.filter(({ name }) => name !== group)
  }

  // Each presence must be newer than the last one the broker accepted.
  #change(change: () => Partial<Attributes>, ask: (presence: string, attributes: Attributes) => Promise<unknown>): Promise<void> {
    const { self, events } = this.#kernel
    const before = this.#changing
    const work = async () => {
      await before
      await this.#connection.ready()
      const attributes = self.with(change())
      await ask(self.presence(attributes), attributes)
      self.adopt(attributes)
      events.emit('me', self.me)
    }
    const done = work()
    this.#changing = done.catch(() => {})
    return done
  }
}
