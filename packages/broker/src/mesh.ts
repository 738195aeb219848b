import type { Clock, DeliveryState, MemberPubkey, MeshId, RecipientPubkey, RootPubkey, SessionPubkey } from '@claudemesh/protocol'
import type { Policy } from '@claudemesh/crypto'
import type { Telling } from './changes.ts'
import { GroupRoom } from './group-room.ts'
import type { Mailbox } from './mail.ts'
import { peerTable, type Presence } from './presence.ts'
import type { Nodes } from './nodes.ts'
import { Told } from './told.ts'
import type { Turn } from './turn.ts'

export type GoneReason = 'left' | 'stale' | 'revoked'

const updatesPerFrame = 1024

/** A change to be told, and who knows it already. */
export interface News extends Telling {
  readonly except: Presence
}

/** One mesh in memory: who is live, who answers to which address, and what changed in this turn. */
export class Mesh {
  readonly id: MeshId
  readonly root: RootPubkey
  readonly slug: string
  policy: { readonly token: string; readonly body: Policy }
  /** Whether the store may hold a newer one that was set here. */
  policyInDoubt = false
  /** Hellos under way, which keep the mesh in memory. */
  greeting = 0
  /** Members that asked for the mesh key, and until when an answer is taken. */
  readonly askers = new Map<MemberPubkey, number>()
  /** In order of arrival. */
  readonly presences = new Map<SessionPubkey, Presence>()
  /** Of members that mail was sent to lately. */
  readonly mailboxes = new Map<RecipientPubkey, Mailbox>()
  readonly #byAddress = new Map<string, Set<Presence>>()
  /** For the groups of who comes. */
  readonly groupRoom = new GroupRoom(this.#byAddress)
  /** What of its stored values was told here. */
  readonly told = new Told()
  /** Since when it is in memory here. */
  readonly since: number
  /** The way to the other nodes that host it. */
  readonly nodes: Nodes
  /** Ends the hearing of what concerns it. */
  leave: () => void = () => {}
  readonly #turn: Turn
  readonly #tell = () => this.#tellPeers()
  #doubts = 0
  #changed = new Set<Presence>()
  #gone = new Map<SessionPubkey, GoneReason>()
  #updates = new Map<SessionPubkey, { update: DeliveryState; size: number }[]>()
  #news = new Map<string, News>()

  constructor(
    row: { id: MeshId; root: RootPubkey; slug: string; policy: { token: string; body: Policy } },
    { turn, nodes, clock }: { turn: Turn; nodes: Nodes; clock: Clock },
  ) {
    this.id = row.id
    this.root = row.root
    this.slug = row.slug
    this.policy = row.policy
    this.#turn = turn
    this.nodes = nodes
    this.since = clock.now()
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

  /** Whether a session is connected here. */
  get hosting(): boolean {
    for (const { link } of this.presences.values()) if (link) return true
    return false
  }

  /** The presences that answer to an address such as `@frontend`. */
  at(address: string): ReadonlySet<Presence> {
    return this.#byAddress.get(address) ?? nobody
  }

  /** Grows whenever messages may have come to the store without having come to the sessions that are connected here. */
  get doubts(): number {
    return this.#doubts + this.nodes.doubts
  }

  doubt(): void {
    this.#doubts++
  }

  /** Everybody who answers to some address. */
  get indexed(): ReadonlySet<Presence> {
    return new Set([...this.#byAddress.values()].flatMap((set) => [...set]))
  }

  /** Sends every session that is connected here a frame. */
  write(frame: string, except?: SessionPubkey): void {
    for (const presence of this.presences.values()) if (presence.key !== except) presence.link?.session.write(frame)
  }

  /** Sends some sessions a frame, wherever they are connected. */
  tell(presences: readonly Presence[], frame: string): void {
    for (const presence of presences) presence.link?.session.write(frame)
    const only = presences.flatMap((presence) => (presence.link === undefined && presence.elsewhere !== undefined ? [presence.key] : []))
    if (only.length > 0) this.nodes.toMesh(this.id, { t: 'frame', only }, frame)
  }

  /** Tells a sender, on whichever node it is, what became of its message, in one frame per turn; `size` bytes have left the recipient's queue. */
  delivered(sender: SessionPubkey, update: DeliveryState, size = 0): void {
    const waiting = this.#updates.get(sender)
    if (waiting) waiting.push({ update, size })
    else this.#updates.set(sender, [{ update, size }])
    this.#turn.beforeWrites(this.#tell)
  }

  /** Tells every connected session but the writer at the end of the turn: of one subject only the highest version. */
  announce(news: News): void {
    const waiting = this.#news.get(news.subject)
    if (waiting && waiting.version > news.version) return
    this.#news.set(news.subject, news)
    this.#turn.beforeWrites(this.#tell)
  }

  /** Leaves no timer and no subscription behind. */
  close(): void {
    this.leave()
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
    const news = this.#news
    this.#news = new Map()
    for (const [sessionPubkey, reason] of gone) this.write(JSON.stringify({ type: 'peer_gone', sessionPubkey, reason }))
    for (const presence of changed) {
      const { peers, tokens } = peerTable([presence])
      this.write(JSON.stringify({ type: 'peer_update', peer: peers[0], tokens }), presence.key)
    }
    for (const one of news.values()) this.#tellChange(one)
    for (const [sender, list] of updates) {
      const presence = this.presences.get(sender)
      if (!presence?.connected) continue
      for (let i = 0; i < list.length; i += updatesPerFrame) this.#tellSender(presence, list.slice(i, i + updatesPerFrame))
    }
  }

  #tellChange({ subject, version, frame, except }: News): void {
    this.write(frame, except.key)
    if (!this.nodes.bus) return
    this.told.note({ subject, version })
    this.nodes.toMesh(this.id, { t: 'frame', except: except.key, change: { subject, version } }, frame)
  }

  #tellSender({ key, link, elsewhere }: Presence, list: readonly { update: DeliveryState; size: number }[]): void {
    const updates = list.map(({ update }) => update)
    if (link) link.session.write(JSON.stringify({ type: 'delivery', updates }))
    else if (elsewhere !== undefined) this.nodes.toNode(elsewhere, { t: 'rungs', mesh: this.id, sender: key, updates, sizes: list.map(({ size }) => size) })
  }
}

const nobody: ReadonlySet<Presence> = new Set()
