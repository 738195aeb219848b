import { eq, gt, lt, ne, and } from 'drizzle-orm'
import type { Log } from '@claudemesh/protocol'
import { asked, type Watching } from './asked.ts'
import type { Nodes } from './nodes.ts'
import type { NodeId } from './parcels.ts'
import type { Bus, Database } from './ports.ts'
import { node as table } from './tables.ts'
import { causeOf } from './cause.ts'

/** How nodes notice each other, in milliseconds. */
const pace = { beat: 500, silence: 1_500, lease: 8_000, renew: 2_000, meeting: 2_000, forget: 3_600_000 } as const
const subject = 'claudemesh.nodes'

/** What follows from who is there. */
export interface Following {
  /** A node was heard for the first time, or again after a silence. */
  came(node: NodeId): void
  /** A node said goodbye, fell silent, or let its lease run out. */
  left(node: NodeId): void
  /** Every two seconds while the store knows of others. */
  tick(): Promise<void>
  /** The bus stands again after an interruption. */
  restored(): void
}

interface Surroundings extends Watching {
  readonly db: Database
  readonly log: Log
  readonly nodes: Nodes
}

/** Who else serves this store: heard on the bus every half second, and leased in the store, which is the truth while the bus is down. */
export class Membership implements AsyncDisposable {
  readonly #env: Surroundings
  readonly #bus: Bus
  readonly #following: Following
  readonly #heard = new Map<NodeId, number>()
  #leases = new Map<NodeId, number>()
  #up = true
  #closed = false
  #ticking: Promise<void> = Promise.resolve()
  #unsubscribe = () => {}
  #cancelBeat = () => {}
  #cancelTick = () => {}
  #met: () => void = () => {}

  private constructor(env: Surroundings, bus: Bus, following: Following) {
    this.#env = env
    this.#bus = bus
    this.#following = following
  }

  /** Joins the nodes of this store; resolves when those that live were heard, or after two seconds. */
  static async join(env: Surroundings, bus: Bus, following: Following): Promise<Membership> {
    const membership = new Membership(env, bus, following)
    await membership.#start()
    return membership
  }

  /** Says goodbye, so that nobody waits for a silence. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true
    this.#cancelBeat()
    this.#cancelTick()
    await this.#ticking
    this.#say('bye')
    this.#unsubscribe()
    const { db, nodes } = this.#env
    await db.delete(table).where(eq(table.id, nodes.id))
  }

  async #start(): Promise<void> {
    const { clock } = this.#env
    this.#bus.watch?.((up) => this.#watched(up))
    this.#unsubscribe = await this.#bus.subscribe(subject, (text) => this.#hear(text))
    await this.#renew()
    this.#say('hello')
    const met = new Promise<void>((resolve) => (this.#met = resolve))
    const cancel = clock.after(pace.meeting, () => this.#met())
    this.#checkMet()
    await met
    cancel()
    this.#scheduleBeat()
    this.#scheduleTick()
  }

  #checkMet(): void {
    if ([...this.#leases.keys()].every((node) => this.#heard.has(node))) this.#met()
  }

  #say(word: 'beat' | 'hello' | 'bye'): void {
    this.#bus.publish(subject, `${this.#env.nodes.id} ${word} ${this.#env.clock.now()}`)
  }

  #hear(text: string): void {
    const { clock, nodes } = this.#env
    const [node = '', word, at] = text.split(' ')
    if (this.#closed) return
    if (node === nodes.id) {
      this.#judge(Number(at))
      this.#env.meter.observe('bus_seconds', Math.max(0, clock.now() - Number(at)) / 1000)
      return
    }
    if (word === 'bye') {
      this.#lose(node, 'bye')
      return
    }
    const known = this.#heard.has(node)
    this.#heard.set(node, clock.now())
    if (word === 'hello') this.#say('beat')
    if (known) return
    this.#look()
    this.#env.log('info', 'node_heard', { node })
    this.#following.came(node)
    this.#checkMet()
  }

  // By the echo of its own beat a node knows that it would have heard the others until then, however late it comes to reading.
  #judge(at: number): void {
    for (const [node, heard] of this.#heard) if (at - heard > pace.silence) this.#lose(node, 'silent')
  }

  #lose(node: NodeId, why: string): void {
    if (why === 'bye') this.#leases.delete(node)
    if (!this.#heard.delete(node)) return
    this.#look()
    this.#env.log('warn', 'node_left', { node, why })
    this.#following.left(node)
  }

  #look(): void {
    this.#env.nodes.see({ up: this.#up, heard: new Set(this.#heard.keys()), leases: this.#leases })
  }

  #watched(up: boolean): void {
    if (up === this.#up || this.#closed) return
    this.#up = up
    this.#env.log(up ? 'info' : 'warn', up ? 'bus_restored' : 'bus_lost')
    this.#look()
    if (!up) return
    // The silence was the bus's, not theirs.
    for (const node of this.#heard.keys()) this.#heard.set(node, this.#env.clock.now())
    this.#say('hello')
    this.#following.restored()
  }

  #scheduleBeat(): void {
    this.#cancelBeat = this.#env.clock.after(pace.beat, () => {
      if (this.#up) this.#say('beat')
      this.#scheduleBeat()
    })
  }

  #scheduleTick(): void {
    this.#cancelTick = this.#env.clock.after(pace.renew, () => {
      this.#ticking = this.#tick()
        .catch((error: unknown) => this.#env.log('error', 'store_failed', { what: 'lease', cause: causeOf(error) }))
        .then(() => (this.#closed ? undefined : this.#scheduleTick()))
    })
  }

  async #tick(): Promise<void> {
    await this.#renew()
    // While the bus is down nobody is heard, and the lease decides.
    if (!this.#up) for (const node of this.#heard.keys()) if (!this.#leases.has(node)) this.#lose(node, 'lease')
    if (this.#leases.size > 0) await asked(this.#env, 'look', () => this.#following.tick())
  }

  async #renew(): Promise<void> {
    const { db, clock, nodes } = this.#env
    const now = clock.now()
    const mine = { id: nodes.id, startedAt: now, leaseUntil: now + pace.lease }
    await db
      .insert(table)
      .values(mine)
      .onConflictDoUpdate({ target: table.id, set: { leaseUntil: mine.leaseUntil } })
    await db.delete(table).where(lt(table.leaseUntil, now - pace.forget))
    const others = await db
      .select({ id: table.id, until: table.leaseUntil })
      .from(table)
      .where(and(ne(table.id, nodes.id), gt(table.leaseUntil, now)))
    this.#leases = new Map(others.map(({ id, until }) => [id, until]))
    this.#look()
  }
}
