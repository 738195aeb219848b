import type { MeshId } from '@claudemesh/protocol'
import type { Entry } from './statements.ts'

interface Lane {
  readonly entries: Entry[]
  /** The places of its entries in the order in which all came. */
  readonly places: number[]
  /** How many of its first entries were taken. */
  taken: number
}

/** What waits for the writer: each mesh's messages in their order, and one of each mesh by turns, so that none waits for all of another's. */
export class Lanes {
  readonly #lanes = new Map<MeshId, Lane>()
  #size = 0
  #bytes = 0
  #last = 0

  get size(): number {
    return this.#size
  }

  get bytes(): number {
    return this.#bytes
  }

  /** The place of what came last. */
  get last(): number {
    return this.#last
  }

  push(entry: Entry): void {
    const lane = this.#lanes.get(entry.meshId) ?? { entries: [], places: [], taken: 0 }
    this.#lanes.set(entry.meshId, lane)
    lane.entries.push(entry)
    lane.places.push(++this.#last)
    this.#size++
    this.#bytes += entry.body.length
  }

  /** Takes at most so many, and about so many bytes: at least one where there is one. */
  take(most: number, mostBytes: number): Entry[] {
    const taken: Entry[] = []
    let bytes = 0
    // A lane that is put back comes to its turn again.
    for (const [mesh, lane] of this.#lanes) {
      const entry = lane.entries[lane.taken] as Entry
      bytes += entry.body.length
      if (taken.length === most || (taken.length > 0 && bytes > mostBytes)) break
      taken.push(entry)
      this.#size--
      this.#bytes -= entry.body.length
      this.#lanes.delete(mesh)
      if (++lane.taken < lane.entries.length) this.#lanes.set(mesh, shortened(lane))
    }
    return taken
  }

  /** Takes all that these senders have waiting, in their order. */
  takeOf(senders: readonly Pick<Entry, 'meshId' | 'sender'>[]): Entry[] {
    const of = new Set(senders.map(({ meshId, sender }) => meshId + sender))
    const taken: Entry[] = []
    for (const mesh of new Set(senders.map(({ meshId }) => meshId))) {
      const lane = this.#lanes.get(mesh)
      if (!lane) continue
      const left: Lane = { entries: [], places: [], taken: 0 }
      for (let i = lane.taken; i < lane.entries.length; i++) {
        const entry = lane.entries[i] as Entry
        if (of.has(mesh + entry.sender)) taken.push(entry)
        else {
          left.entries.push(entry)
          left.places.push(lane.places[i] as number)
        }
      }
      if (left.entries.length > 0) this.#lanes.set(mesh, left)
      else this.#lanes.delete(mesh)
    }
    this.#size -= taken.length
    for (const { body } of taken) this.#bytes -= body.length
    return taken
  }

  /** The oldest one that waits: its place, and when it came. */
  get oldest(): { readonly place: number; readonly since: number } | undefined {
    let oldest: { place: number; since: number } | undefined
    for (const { entries, places, taken } of this.#lanes.values()) {
      const place = places[taken] as number
      if (oldest === undefined || place < oldest.place) oldest = { place, since: (entries[taken] as Entry).createdAt }
    }
    return oldest
  }
}

/** What was taken is let go of now and then, which is cheaper than each time. */
function shortened(lane: Lane): Lane {
  if (lane.taken < 1024) return lane
  lane.entries.splice(0, lane.taken)
  lane.places.splice(0, lane.taken)
  lane.taken = 0
  return lane
}
