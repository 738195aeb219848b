import type { Log, MeshId } from '@claudemesh/protocol'
import { batchText, packed, parseBatch, publisherOf, type MeshParcel, type NodeId, type NodeParcel, type Parcel } from './parcels.ts'
import type { Bus } from './ports.ts'
import type { Turn } from './turn.ts'
import { causeOf } from './cause.ts'
import type { Meter } from './meter.ts'

/** What a subscriber does with what arrives, in order; `missed` comes first when something before was lost on the way. */
export interface Arrivals<P> {
  take(parcel: Parcel<P>, from: NodeId): void
  missed(): void
}

// Below NATS' limit of 1 MiB for a payload, with room for one large parcel.
const batchBytes = 256 * 1024

const meshSubject = (mesh: MeshId) => `claudemesh.mesh.${mesh}`
const nodeSubject = (node: NodeId) => `claudemesh.node.${node}`

/** Who else is there, as far as this node can tell. */
export interface Sight {
  /** Whether the bus stands. */
  readonly up: boolean
  readonly heard: ReadonlySet<NodeId>
  /** When the lease of each node ends. */
  readonly leases: ReadonlyMap<NodeId, number>
}

/**
 * The other brokers on the same store, and the way to them: what one turn of the event loop has to tell leaves in one publish per subject. While there is no
 * other, nothing is published and nothing is encoded.
 */
export class Nodes {
  readonly id: NodeId
  readonly #bus: Bus | undefined
  readonly #turn: Turn
  readonly #log: Log
  readonly #meter: Meter
  #sight: Sight = { up: true, heard: new Set(), leases: new Map() }
  #doubts = 0
  readonly #waiting = new Map<string, string[]>()
  /** Batches published, by subject. */
  readonly #published = new Map<string, number>()
  readonly #flush = () => this.flush()

  constructor(id: NodeId, bus: Bus | undefined, turn: Turn, { log, meter }: { log: Log; meter: Meter }) {
    this.id = id
    this.#bus = bus?.shared === true ? bus : undefined
    this.#turn = turn
    this.#log = log
    this.#meter = meter
  }

  /** The bus that other nodes may be on. */
  get bus(): Bus | undefined {
    return this.#bus
  }

  /** True while no other node can be told anything. */
  get alone(): boolean {
    return !this.#sight.up || this.#sight.heard.size === 0
  }

  /** Whether the bus stands. */
  get up(): boolean {
    return this.#sight.up
  }

  /** Grows whenever something may have been lost on the way to this node. */
  get doubts(): number {
    return this.#doubts
  }

  doubt(): void {
    this.#doubts++
  }

  /** Nothing was sent to a node for a while: by the gap in the numbers it will know. */
  skip(node: NodeId): void {
    this.#skip(nodeSubject(node))
  }

  /** The bus was away for a while: this node may have missed something, and by gaps in the numbers every other one will know that it may have, too. */
  interrupted(): void {
    for (const subject of this.#published.keys()) this.#skip(subject)
    this.doubt()
  }

  /** Whether a node may be believed to hold its connections: it is heard, or, while nobody can be heard, the store says that it runs. */
  holds(node: NodeId, now: number): boolean {
    return this.#sight.up ? this.#sight.heard.has(node) : this.leased(node, now)
  }

  /** Whether the store says that a node runs. */
  leased(node: NodeId, now: number): boolean {
    return (this.#sight.leases.get(node) ?? 0) > now
  }

  see(sight: Sight): void {
    this.#sight = sight
  }

  /** Tells every other node that hosts the mesh. */
  toMesh(mesh: MeshId, parcel: MeshParcel, ...raw: string[]): void {
    if (!this.alone) this.#add(meshSubject(mesh), parcel, raw)
  }

  toNode(node: NodeId, parcel: NodeParcel, ...raw: string[]): void {
    if (this.#sight.up && this.#sight.heard.has(node)) this.#add(nodeSubject(node), parcel, raw)
  }

  /** Publishes now what waits for the end of the turn. */
  flush(): void {
    for (const [subject, parcels] of this.#waiting) this.#publish(subject, parcels)
    this.#waiting.clear()
  }

  /** Hears what concerns a mesh; resolves once it does, with the way to end it. */
  hearMesh(mesh: MeshId, arrivals: Arrivals<MeshParcel>): Promise<() => void> {
    return this.#hear(meshSubject(mesh), arrivals)
  }

  /** Hears what is sent to this node alone. */
  hearNode(arrivals: Arrivals<NodeParcel>): Promise<() => void> {
    return this.#hear(nodeSubject(this.id), arrivals)
  }

  #skip(subject: string): void {
    this.#published.set(subject, (this.#published.get(subject) ?? 0) + 1)
  }

  #add(subject: string, parcel: MeshParcel | NodeParcel, raw: readonly string[]): void {
    if (this.#waiting.size === 0) this.#turn.atEnd(this.#flush)
    const waiting = this.#waiting.get(subject)
    if (waiting) waiting.push(packed(parcel, raw))
    else this.#waiting.set(subject, [packed(parcel, raw)])
  }

  #publish(subject: string, parcels: readonly string[]): void {
    let from = 0
    let bytes = 0
    for (const [i, parcel] of parcels.entries()) {
      bytes += parcel.length
      if (bytes < batchBytes && i < parcels.length - 1) continue
      const number = (this.#published.get(subject) ?? 0) + 1
      this.#published.set(subject, number)
      this.#send(subject, batchText(this.id, number, parcels.slice(from, i + 1)))
      from = i + 1
      bytes = 0
    }
  }

  // What does not get through is found in the store by those it was for.
  #send(subject: string, text: string): void {
    try {
      this.#bus?.publish(subject, text)
      this.#meter.count('bus_batches', 'out')
    } catch (error) {
      this.#log('error', 'bus_failed', { subject, bytes: text.length, cause: causeOf(error) })
    }
  }

  async #hear<P>(subject: string, arrivals: Arrivals<P>): Promise<() => void> {
    const last = new Map<NodeId, number>()
    return (
      (await this.#bus?.subscribe(subject, (text) => {
        if (publisherOf(text) === this.id) return
        this.#meter.count('bus_batches', 'in')
        try {
          const { from, number, parcels } = parseBatch<P>(text)
          const before = last.get(from)
          last.set(from, number)
          if (before !== undefined && number !== before + 1) {
            this.#meter.count('bus_gaps', subject === nodeSubject(this.id) ? 'node' : 'mesh', Math.max(1, number - before - 1))
            this.#log('warn', 'bus_gap', { subject, from, before, number })
            this.doubt()
            arrivals.missed()
          }
          for (const parcel of parcels) arrivals.take(parcel, from)
        } catch (error) {
          this.#log('error', 'bus_failed', { subject, cause: causeOf(error) })
          // What came behind it in its batch was not taken.
          this.doubt()
          arrivals.missed()
        }
      })) ?? (() => {})
    )
  }
}
