import { TokenCache, type Revoked } from '@claudemesh/crypto'
import { MeshError, times, type Clock, type Log, type MeshId, type PeerFrame, type RootPubkey, type SessionPubkey, type Status } from '@claudemesh/protocol'
import { believe, claimedAddresses, isCurrent, isRevoked, toPeer, type Believed, type Claim, type Trust } from './believed.ts'
import type { Peer } from './types.ts'

interface Entry {
  believed: Believed | undefined
  /** Newer than `believed` and not verified yet. */
  claim: Claim | undefined
  claimed: { name: string; groups: string[] } | undefined
  status: Status
  since?: number | undefined
  connected: boolean
  /** The load of the roster that last mentioned it. */
  load: number
}

export interface RosterOptions {
  readonly mesh: MeshId
  readonly root: RootPubkey
  readonly me: SessionPubkey
  readonly clock: Clock
  readonly log: Log
}

const remembered = 4096
const slice = 16
const sliceEvery = 20

/**
 * The peers of the mesh. Believes signed presence alone, of each session the one with the highest number.
 * Certificates are verified at first use, or in the background in small slices, so that joining a large mesh is quick.
 */
export class Roster {
  readonly #o: RosterOptions
  readonly #cache = new TokenCache()
  readonly #entries = new Map<SessionPubkey, Entry>()
  /** Sessions that left: their late messages still need a name, and an old presence of theirs must not come back. */
  readonly #gone = new Map<SessionPubkey, Believed>()
  #revoked: Revoked = { members: [], invites: [], sessions: [] }
  #load = 0
  #cancelSlice: (() => void) | undefined

  constructor(options: RosterOptions) {
    this.#o = options
  }

  get #trust(): Trust {
    return { mesh: this.#o.mesh, root: this.#o.root, now: this.#o.clock.now(), revoked: this.#revoked, cache: this.#cache }
  }

  /** Takes in a peer of the broker's list. `tokens` are those of the same frame. */
  update(frame: PeerFrame, tokens: readonly string[]): void {
    if (frame.sessionPubkey === this.#o.me) return
    const chain = frame.chain.map((index) => tokens[index])
    if (!chain.every((token) => token !== undefined)) throw new MeshError('bad_frame', 'a peer refers to a token that the frame lacks')
    const entry = this.#entries.get(frame.sessionPubkey) ?? this.#revive(frame.sessionPubkey)
    Object.assign(entry, { status: frame.status, since: frame.since, connected: frame.connected, load: this.#load })
    this.#claim(entry, { session: frame.sessionPubkey, tokens: chain, presence: frame.presence })
  }

  /** Certificates and presence that came with a message: remembered, but a push does not bring a peer back into the list. */
  introduce(claim: Claim): void {
    const entry = this.#entries.get(claim.session)
    if (entry) this.#claim(entry, claim)
    // Its certificate may have ended while the message waited in the queue.
    else this.#remember(this.#verify(claim, this.#gone.get(claim.session), times.messageLife))
  }

  /** A full list follows; `loaded` ends it and forgets whom it did not mention. */
  loading(): void {
    this.#load++
  }

  loaded(): void {
    for (const [session, entry] of this.#entries) if (entry.load < this.#load) this.remove(session)
    this.#verifySoon()
  }

  remove(session: SessionPubkey): void {
    const entry = this.#entries.get(session)
    if (!entry) return
    this.#settle(entry)
    this.#entries.delete(session)
    this.#remember(entry.believed)
  }

  /** Drops whoever the policy revokes; returns them. */
  revoke(revoked: Revoked): SessionPubkey[] {
    this.#revoked = revoked
    const out: SessionPubkey[] = []
    for (const [session, entry] of this.#entries) {
      if (!entry.believed || !isRevoked(entry.believed.chain, revoked)) continue
      this.#entries.delete(session)
      out.push(session)
    }
    for (const [session, believed] of this.#gone) if (isRevoked(believed.chain, revoked)) this.#gone.delete(session)
    return out
  }

  /** What this session's own tokens prove, present or gone; undefined when nothing does. */
  believed(session: SessionPubkey): Believed | undefined {
    const entry = this.#entries.get(session)
    if (!entry) return this.#gone.get(session)
    this.#settle(entry)
    return entry.believed
  }

  /** All verified peers, or those that may answer to a folded name or group; sorted by name. */
  peers(by: Wanted = {}): Peer[] {
    const out: Peer[] = []
    for (const [session, entry] of this.#entries) {
      if (!mayAnswer(entry, by)) continue
      this.#settle(entry)
      if (!entry.believed || !answers(entry.believed, by)) continue
      const peer = this.#peer(session, entry)
      if (peer) out.push(peer)
    }
    return out.sort((a, b) => a.name.localeCompare(b.name) || a.session.localeCompare(b.session))
  }

  peer(session: SessionPubkey): Peer | undefined {
    const entry = this.#entries.get(session)
    return entry && this.#peer(session, entry)
  }

  stop(): void {
    this.#cancelSlice?.()
  }

  #peer(session: SessionPubkey, entry: Entry): Peer | undefined {
    this.#settle(entry)
    if (!entry.believed || !isCurrent(entry.believed, this.#o.clock.now())) return undefined
    if (!isRevoked(entry.believed.chain, this.#revoked)) return toPeer(entry.believed, entry)
    this.#entries.delete(session)
    return undefined
  }

  #revive(session: SessionPubkey): Entry {
    const entry: Entry = { believed: this.#gone.get(session), claim: undefined, claimed: undefined, status: 'idle', connected: true, load: this.#load }
    this.#gone.delete(session)
    this.#entries.set(session, entry)
    return entry
  }

  #claim(entry: Entry, claim: Claim): void {
    // A bad claim must not push out a good one that nobody looked at yet.
    this.#settle(entry)
    entry.claim = claim
    entry.claimed = undefined
    this.#verifySoon()
  }

  #settle(entry: Entry): void {
    const claim = entry.claim
    if (!claim) return
    entry.claim = undefined
    entry.believed = this.#verify(claim, entry.believed) ?? entry.believed
  }

  #verify(claim: Claim, before: Believed | undefined, grace = 0): Believed | undefined {
    try {
      const believed = believe(claim, { ...this.#trust, grace })
      if (!before || believed.presence.seq >= before.presence.seq) return believed
      this.#o.log('debug', 'presence_outdated')
      return { ...believed, presence: before.presence, folded: before.folded }
    } catch (error) {
      this.#o.log('warn', 'peer_refused', { error: error instanceof MeshError ? error.code : 'internal' })
      return undefined
    }
  }

  #remember(believed: Believed | undefined): void {
    if (!believed) return
    this.#gone.set(believed.session, believed)
    for (const oldest of this.#gone.keys()) {
      if (this.#gone.size <= remembered) break
      this.#gone.delete(oldest)
    }
  }

  #verifySoon(): void {
    this.#cancelSlice ??= this.#o.clock.after(sliceEvery, () => {
      this.#cancelSlice = undefined
      let left = slice
      for (const entry of this.#entries.values()) {
        if (!entry.claim) continue
        if (left-- === 0) return this.#verifySoon()
        this.#settle(entry)
      }
    })
  }
}

interface Wanted {
  readonly name?: string
  readonly group?: string
}

/** Cheap and unverified: spares verifying whoever does not even claim the name or group. */
function mayAnswer(entry: Entry, by: Wanted): boolean {
  if (!entry.claim || entry.believed) return true
  entry.claimed ??= claimedAddresses(entry.claim.presence)
  const { name, groups } = entry.claimed
  return (by.name === undefined || name === by.name) && (by.group === undefined || groups.includes(by.group))
}

function answers({ folded, presence }: Believed, by: Wanted): boolean {
  return (by.name === undefined || folded === by.name) && (by.group === undefined || presence.groups.some((group) => group.name === by.group))
}
