import { Mesh, type Identity } from '@claudemesh/client'
import { nodeDial, nodeRandom } from '@claudemesh/client/node'
import { sessionKey } from '@claudemesh/crypto'
import { MeshError, systemClock, type SessionPubkey } from '@claudemesh/protocol'
import type { Dice } from '../chaos/dice.ts'

/** What all guests together did. */
export interface Tally {
  came: number
  sent: number
  shown: number
  refused: number
}

/** A session that stays for a while, writes to whoever is there, and shows what it gets at once. */
export class Guest {
  readonly #mesh: Mesh
  readonly #tally: Tally

  private constructor(mesh: Mesh, tally: Tally) {
    this.#mesh = mesh
    this.#tally = tally
    mesh.on('message', (message) => {
      tally.shown++
      mesh.surfaced([message])
    })
  }

  /** Undefined when the broker, or a machine with too much to do, has no time for another one now. */
  static async come(url: string, identity: Identity, tally: Tally): Promise<Guest | undefined> {
    const key = sessionKey(nodeRandom(32))
    const name = `g${++tally.came}`
    const session = { key, incarnation: 1, id: name }
    try {
      return new Guest(await Mesh.connect({ url, identity, session, name, clock: systemClock, dial: nodeDial, random: nodeRandom }), tally)
    } catch (error) {
      if (!(error instanceof MeshError) || error.retry === 'never') throw error
      tally.refused++
      return undefined
    }
  }

  /** Writes to one of the peers, if there is one. Whoever has left in the meantime is refused by name, which is counted. */
  async write(dice: Dice): Promise<void> {
    const [first, ...others] = this.#mesh.peers()
    if (!first) return
    try {
      await this.#mesh.send({ to: dice.pick([first, ...others]).name, message: 'x'.repeat(dice.between(1, 400)) })
      this.#tally.sent++
    } catch (error) {
      if (!(error instanceof MeshError)) throw error
      this.#tally.refused++
    }
  }

  /** Leaves with a goodbye; nothing may be left of it. */
  async leave(): Promise<void> {
    await this.#mesh.close({ bye: true })
  }

  /** Leaves without a word: its queue waits for it as long as its certificate lasts. The key of its session. */
  async vanish(): Promise<SessionPubkey> {
    await this.#mesh.close()
    return this.#mesh.me.session
  }
}
