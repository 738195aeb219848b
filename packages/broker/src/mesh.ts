import type { DeliveryState, MemberPubkey, MeshId, MessageId, RootPubkey, SessionPubkey } from '@claudemesh/protocol'
import type { Policy } from '@claudemesh/crypto'
import { peerTable, type Presence } from './presence.ts'
import type { Turn } from './turn.ts'

export type GoneReason = 'left' | 'stale' | 'revoked'

// How many of the newest sends a mesh remembers, to recognise a repeat before it is pushed twice.
const remembered = 4096
const updatesPerFrame = 1024

/** One mesh in memory: who is live, who answers to which address, and what changed in this turn. */
export class Mesh {
  readonly id: MeshId
  readonly root: RootPubkey
  readonly slug: string
  policy: { readonly token: string; readonly body: Policy }
  /** Hellos under way, which keep the mesh in memory. */
  greeting = 0
  /** Members that asked for the mesh key, and until when an answer is taken. */
  readonly askers = new Map<MemberPubkey, number>()
  /** In order of arrival. */
  readonly presences = new Map<SessionPubkey, Presence>()
  readonly #byAddress = new Map<string, Set<Presence>>()
  readonly #recent = new Map<MessageId, string>()
  readonly #turn: Turn
  readonly #tell = () => this.#tellPeers()
  #changed = new Set<Presence>()
  #gone = new Map<SessionPubkey, GoneReason>()
  #updates = new Map<SessionPubkey, DeliveryState[]>()

  constructor(row: { id: MeshId; root: RootPubkey; slug: string; policy: { token: string; body: Policy } }, turn: Turn) {
    this.id = row.id
    this.root = row.root
    this.slug = row.slug
    this.policy = row.policy
    this.#turn = turn
  }

  /** Adds a presence, or takes note that it changed, and tells the peers at the end of the turn. */
  put(presence: Presence): void {
    const known = this.presences.get(presence.key)
    if (known && known !== presence) this.#unindex(known)
    this.presences.set(presence.key, presence)
    for (const address of presence.addresses) {
      const set = this.#byAddress.get(address) ?? new Set()
      this.#byAddress.set(address, set.add(presence))
    }
    this.#gone.delete(presence.key)
    this.changed(presence)
  }

  /** To be called before the groups of a presence change; `put` indexes it anew. */
  unindex(presence: Presence): void {
    this.#unindex(presence)
  }

  changed(presence: Presence): void {
    this.#changed.add(presence)
    this.#turn.beforeWrites(this.#tell)
  }

  remove(presence: Presence, reason: GoneReason): void {
    if (this.presences.get(presence.key) !== presence) return
    presence.cancelLinger()
    this.presences.delete(presence.key)
    this.#unindex(presence)
    this.#changed.delete(presence)
    this.#gone.set(presence.key, reason)
    this.#turn.beforeWrites(this.#tell)
  }

  /** The presences that answer to an address such as `@frontend`. */
  at(address: string): ReadonlySet<Presence> {
    return this.#byAddress.get(address) ?? nobody
  }

  /** Sends every connected session a frame. */
  broadcast(frame: string, except?: Presence): void {
    for (const presence of this.presences.values()) if (presence !== except) presence.link?.session.write(frame)
  }

  /** Tells a sender what became of its message, in one frame per turn. */
  delivered(sender: SessionPubkey, update: DeliveryState): void {
    const waiting = this.#updates.get(sender)
    if (waiting) waiting.push(update)
    else this.#updates.set(sender, [update])
    this.#turn.beforeWrites(this.#tell)
  }

  /** The nonce under which this id was sent lately, remembering this one when there is none. */
  recent(id: MessageId, nonce: string): string | undefined {
    const known = this.#recent.get(id)
    if (known !== undefined) return known
    this.#recent.set(id, nonce)
    if (this.#recent.size > remembered) {
      const [oldest] = this.#recent.keys()
      if (oldest !== undefined) this.#recent.delete(oldest)
    }
    return undefined
  }

  /** Lets an id be sent again: its store failed. */
  forget(id: MessageId): void {
    this.#recent.delete(id)
  }

  /** Leaves no timer behind. */
  close(): void {
    for (const presence of this.presences.values()) presence.cancelLinger()
  }

  #unindex(presence: Presence): void {
    for (const address of presence.addresses) {
      const set = this.#byAddress.get(address)
      set?.delete(presence)
      if (set?.size === 0) this.#byAddress.delete(address)
    }
  }

  #tellPeers(): void {
    const changed = this.#changed
    const gone = this.#gone
    const updates = this.#updates
    this.#changed = new Set()
    this.#gone = new Map()
    this.#updates = new Map()
    for (const [sessionPubkey, reason] of gone) this.broadcast(JSON.stringify({ type: 'peer_gone', sessionPubkey, reason }))
    for (const presence of changed) {
      const { peers, tokens } = peerTable([presence])
      this.broadcast(JSON.stringify({ type: 'peer_update', peer: peers[0], tokens }), presence)
    }
    for (const [sender, list] of updates) {
      const session = this.presences.get(sender)?.link?.session
      if (!session) continue
      for (let i = 0; i < list.length; i += updatesPerFrame) {
        session.write(JSON.stringify({ type: 'delivery', updates: list.slice(i, i + updatesPerFrame) }))
      }
    }
  }
}

const nobody: ReadonlySet<Presence> = new Set()
