import type { DeliveryState, ErrorCode, MemberId, MemberPubkey, MeshId, MessageId, PresenceId, SessionPubkey, Status } from '@claudemesh/protocol'
import type { GoneReason } from './mesh.ts'
import type { GroupRole } from './presence.ts'
import type { Change } from './told.ts'

/** One run of a broker process; a restarted one is another node. */
export type NodeId = string

/** A session as nodes tell each other of it. */
export interface ToldPresence {
  readonly key: SessionPubkey
  readonly id: PresenceId
  readonly epoch: number
  readonly memberId: MemberId
  readonly memberPubkey: MemberPubkey
  readonly memberName: string
  readonly chain: readonly string[]
  readonly expiresAt: number
  readonly signed: { readonly token: string; readonly seq: number; readonly groups: readonly GroupRole[] }
  readonly status: Status
  readonly statusSince?: number
}

/** To every node that hosts a mesh. */
export type MeshParcel =
  /** It is `unsure` whether what this session sent through its last node has arrived everywhere. */
  | { readonly t: 'presence'; readonly presence: ToldPresence; readonly unsure?: true }
  | { readonly t: 'status'; readonly key: SessionPubkey; readonly epoch: number; readonly status: Status; readonly since?: number }
  | { readonly t: 'away'; readonly key: SessionPubkey; readonly epoch: number; readonly at: number }
  | { readonly t: 'gone'; readonly key: SessionPubkey; readonly epoch: number; readonly reason: GoneReason }
  | { readonly t: 'policy'; readonly token: string }
  /** Its raw line is a frame for every connected session, or for some; it may tell of a change. */
  | { readonly t: 'frame'; readonly except?: SessionPubkey; readonly only?: readonly SessionPubkey[]; readonly change?: Change }
  /** A member waits for the mesh key: what others box for it is taken until then. */
  | { readonly t: 'asks'; readonly member: MemberPubkey; readonly until: number }
  /** Mail of that member waits for a session that shows it. */
  | { readonly t: 'mail'; readonly member: MemberPubkey }

/** To the node that holds the sessions it speaks of. */
export type NodeParcel =
  /** Its raw lines are the head and the tail of a push. */
  | {
      readonly t: 'push'
      readonly mesh: MeshId
      readonly id: MessageId
      readonly to: readonly SessionPubkey[]
      readonly wraps: readonly string[]
      readonly volatile?: true
      /** Passed on by a node that its recipients had left. */
      readonly onward?: true
      /** What the passing on is a part of, where it is traced. */
      readonly trace?: string
    }
  /** `sizes` are the bytes by which each recipient's queue shrinks. */
  | {
      readonly t: 'rungs'
      readonly mesh: MeshId
      readonly sender: SessionPubkey
      readonly updates: readonly DeliveryState[]
      readonly sizes: readonly number[]
    }
  | { readonly t: 'refuse'; readonly mesh: MeshId; readonly key: SessionPubkey; readonly epoch: number; readonly code: ErrorCode }

/** What one node tells another, with the raw lines that go beside it unescaped. */
export interface Parcel<P> {
  readonly parcel: P
  readonly raw: readonly string[]
}

/** A batch as it arrives: who published it, its number among that publisher's on this subject, and the parcels in order. */
export interface Batch<P> {
  readonly from: NodeId
  readonly number: number
  readonly parcels: readonly Parcel<P>[]
}

/** One parcel as lines. Raw text contains no line feed: it is JSON, or part of it. */
export function packed(parcel: MeshParcel | NodeParcel, raw: readonly string[]): string {
  const line = `${raw.length}${JSON.stringify(parcel)}`
  return raw.length === 0 ? line : `${line}\n${raw.join('\n')}`
}

export function batchText(from: NodeId, number: number, packedParcels: readonly string[]): string {
  return `${from} ${number}\n${packedParcels.join('\n')}`
}

/** Reads a batch. Throws what JSON.parse throws on what no node has written. */
export function parseBatch<P>(text: string): Batch<P> {
  const lines = text.split('\n')
  const [from = '', number = '0'] = (lines[0] ?? '').split(' ')
  const parcels: Parcel<P>[] = []
  for (let at = 1; at < lines.length;) {
    const line = lines[at++] as string
    const raws = Number(line[0])
    parcels.push({ parcel: JSON.parse(line.slice(1)) as P, raw: lines.slice(at, at + raws) })
    at += raws
  }
  return { from, number: Number(number), parcels }
}

/** Who published a batch, without reading the rest. */
export const publisherOf = (text: string): NodeId => text.slice(0, text.indexOf(' '))
