import type { MemberKey, Random, RootKey, SessionKey } from '@claudemesh/crypto'
import type {
  Attachment,
  Clock,
  ErrorCode,
  InvitePubkey,
  Log,
  MemberId,
  MemberPubkey,
  MemoryId,
  MeshId,
  MessageId,
  Priority,
  RecipientPubkey,
  RootPubkey,
  Rung,
  SessionPubkey,
  Status,
} from '@claudemesh/protocol'
import type { Dial } from './dial.ts'
import type { AttachedFile, FileSource, Progress } from './files/types.ts'
import type { Transfer } from './transfer.ts'
import type { ConnectionState } from './connection-state.ts'
import type { StatePin } from './state-seen.ts'
import type { KeptMessage, MailSeen, MemberCache, MemoryCache, OutboxPort, PolicyPin } from './ports.ts'

/** Who a member is in one mesh; what `join` and `create` leave behind on disk. */
export interface Identity {
  readonly mesh: MeshId
  readonly root: RootPubkey
  readonly slug: string
  readonly member: MemberKey
  /** Certificates from the root's side up to this member's own. */
  readonly chain: readonly string[]
}

export interface GroupRole {
  readonly name: string
  readonly role?: string
}

/** A memory whose author and time verified. */
export interface Remembered {
  readonly id: MemoryId
  readonly content: string
  readonly tags: readonly string[]
  /** Who remembered it: the display name while that session is known, otherwise the member's. */
  readonly by: {
    readonly name: string
    readonly member: { readonly id: MemberId; readonly name: string }
    readonly session: SessionPubkey
    readonly fingerprint: string
  }
  /** When, by its author's clock. */
  readonly at: number
}

export interface RecallOptions {
  /** Only memories that bear all of these. */
  readonly tags?: readonly string[]
  /** Only those of a member, or of a session that is known, of this name. */
  readonly by?: string
  /** Only those since then, in milliseconds. */
  readonly since?: number
  /** 8 unless told, at most 50. */
  readonly limit?: number
}

export interface ConnectOptions {
  /** The broker's WebSocket address, such as ws://127.0.0.1:7717/ws. */
  readonly url: string
  readonly identity: Identity
  /** `incarnation` is 1 for the first process that uses the key and one more for each that takes it over, so that no message counter repeats. */
  readonly session: { readonly key: SessionKey; readonly incarnation: number; readonly id: string }
  readonly name: string
  readonly role?: string
  readonly groups?: readonly GroupRole[]
  readonly summary?: string
  readonly clock: Clock
  readonly log?: Log
  readonly dial: Dial
  readonly random?: Random
  /** How files travel; without it they do not. */
  readonly transfer?: Transfer
  readonly policyPin?: PolicyPin
  readonly statePin?: StatePin
  readonly memoryCache?: MemoryCache
  readonly memberCache?: MemberCache
  /** With it, what is sent while the broker is away waits on disk instead of in memory. */
  readonly outbox?: OutboxPort
  /** With it the session shows mail for its member; without it mail waits for one that does. */
  readonly mailSeen?: MailSeen
  /** Messages that an earlier process of this session showed: they are not taken in again. */
  readonly shown?: readonly MessageId[]
  /** What an earlier process of this session received with its messages: it may still be fetched. */
  readonly attached?: readonly Attachment[]
  /** Keep dialling when the first attempt finds no broker; otherwise `connect` rejects with `unavailable`. */
  readonly persist?: boolean
}

/** A live session of the mesh whose certificates and presence verified. */
export interface Peer {
  readonly session: SessionPubkey
  readonly member: { readonly id: MemberId; readonly key: MemberPubkey; readonly name: string; readonly role: 'admin' | 'member' }
  readonly name: string
  readonly role?: string
  readonly groups: readonly GroupRole[]
  readonly summary?: string
  /** Of the session key, for people: `ab12 cd34`. */
  readonly fingerprint: string
  /** The broker's word. */
  readonly status: Status
  /** When that status was set, where the broker knows. */
  readonly since?: number
  /** The broker's word; false while a lost session may still return. */
  readonly connected: boolean
}

/** Somebody who belongs to the mesh, present or not; the certificates verified. */
export interface Member {
  readonly id: MemberId
  readonly key: MemberPubkey
  readonly name: string
  readonly role: 'admin' | 'member'
  /** The name as names are compared. */
  readonly folded: string
  readonly fingerprint: string
}

export interface Me {
  readonly session: SessionPubkey
  readonly memberId: MemberId
  readonly name: string
  readonly role?: string
  readonly groups: readonly GroupRole[]
  readonly summary?: string
  readonly status: Status
  readonly fingerprint: string
}

/** A message that opened and verified. */
export interface ReceivedMessage {
  readonly id: MessageId
  readonly from: {
    readonly session: SessionPubkey
    /** The display name of its verified presence; `unverified` for plaintext. */
    readonly name: string
    /** Absent for plaintext. */
    readonly member?: { readonly id: MemberId; readonly name: string }
    readonly fingerprint: string
  }
  /** The target as the sender wrote it. */
  readonly to: string
  readonly priority: Priority
  readonly text: string
  /** The message this one answers. */
  readonly re?: string
  /** How many messages, each the cause of the next, led to this one since a user had a word in it; 0 when a user did. The sender's word. */
  readonly hops: number
  /** It was mail for this member, sealed to the member key: without the forward secrecy of a session. */
  readonly durable?: true
  /** Attached files, their names made harmless; `files.find` knows the rest. */
  readonly files?: readonly AttachedFile[]
  readonly sentAt: number
  readonly receivedAt: number
  /** False only for plaintext in a mesh whose signed policy allows it. */
  readonly verified: boolean
}

/** A message that was not shown, and why. */
export interface RefusedMessage {
  readonly id: MessageId
  /** Of the key the broker named as the sender; not proof. */
  readonly fingerprint: string
  readonly reason: ErrorCode
  /** `[1 message from ab12 cd34 could not be verified and was not shown]` */
  readonly notice: string
}

export interface Resolved {
  readonly recipients: readonly SessionPubkey[]
  /** Members whom it is mail for. */
  readonly members: readonly Member[]
  /** What the broker routes by. */
  readonly targetSpec: string | string[]
  /** The targets as written, for the recipients to read. */
  readonly label: string
  /** The targets were single peers, so that nobody can be missing. */
  readonly direct: boolean
}

export interface SendOptions {
  readonly to: string | readonly string[]
  readonly message: string
  readonly priority?: Priority
  readonly re?: string
  /** As in a received message. */
  readonly hops?: number
  readonly volatile?: boolean
  /** A name that nobody online bears, but a member does, is mail for that member's next session; kept for seven days. */
  readonly durable?: boolean
  /** Files for the recipients alone. */
  readonly files?: readonly FileSource[]
  readonly progress?: Progress
}

export interface SendResult {
  readonly id: MessageId
  readonly recipients: readonly { readonly session: SessionPubkey; readonly name: string }[]
  /** Members whose next session gets it. */
  readonly mail: readonly { readonly member: MemberPubkey; readonly name: string }[]
  /** Recipients, and members, for whom the broker stored it. */
  readonly queued: number
  readonly volatile?: true
  /** Not stored yet: it waits on this machine until the broker, or its storage, is back; 24 hours at most. */
  readonly outbox?: true
  /** Recipients that left before it reached the broker. */
  readonly gone: readonly { readonly session: RecipientPubkey; readonly name: string }[]
}

export interface RecipientStatus {
  /** The session, or with `mail` the member. */
  readonly session: RecipientPubkey
  readonly mail?: true
  readonly name: string
  readonly rung: Rung
  readonly at: number
  readonly reason?: string | undefined
  readonly connected: boolean
  readonly receivedAt?: number | undefined
  /** With `received`: the recipient said that it keeps it from its reader for now, by do-not-disturb, a budget or a hook of its user. */
  readonly held?: boolean
  /** With `surfaced`: whether the recipient said so itself, sealed. Otherwise it is the broker's word. */
  readonly proven?: boolean
}

export interface MessageStatus {
  readonly id: MessageId
  readonly storedAt?: number | undefined
  readonly delivered: boolean
  readonly deliveredAt?: number
  /** Where it waited, or still waits, on this machine. */
  readonly outbox?: KeptMessage
  readonly recipients: readonly RecipientStatus[]
}

export interface InviteOptions {
  /** How many may join with it; 1 unless told. */
  readonly max?: number
  /** Its life in milliseconds; 24 h unless told. */
  readonly expiresMs?: number
  readonly role?: 'admin' | 'member'
  /** Needed for an invite to admin rights, which only the root may sign. */
  readonly rootKey?: RootKey
}

export interface CreatedInvite {
  readonly key: InvitePubkey
  /** The secret link `cm1:…`. */
  readonly link: string
  readonly max: number
  readonly role: 'admin' | 'member'
  readonly expiresAt: number
}

export interface InviteInfo {
  readonly key: InvitePubkey
  readonly role: 'admin' | 'member'
  readonly max: number
  readonly used: number
  readonly createdAt: number
  readonly expiresAt: number
  readonly revoked: boolean
}

/** A key of the shared state. */
export interface StateEntry {
  readonly key: string
  /** Any JSON. */
  readonly value: unknown
  readonly version: number
  /** Who wrote it: the session, by the name it bore then, and its member. */
  readonly by: { readonly name: string; readonly member?: string; readonly session: SessionPubkey; readonly fingerprint: string }
  readonly at: number
  /** Whether author and time were signed by the writer; false only in a mesh whose policy asks for plain values. */
  readonly verified: boolean
}

/** A row of the state that was not believed, and why. */
export interface StateRefused {
  readonly reason: ErrorCode
  readonly message: string
}

/** What `Mesh.on` reports. */
export interface MeshEvents {
  message: ReceivedMessage
  refused: RefusedMessage
  /** A peer came, changed or left. */
  peer: { readonly session: SessionPubkey; readonly change: 'updated' | 'left' | 'stale' | 'revoked' }
  /** A sent message reached a new rung at one recipient. */
  delivery: {
    readonly id: MessageId
    /** The session, or for mail the member. */
    readonly session: RecipientPubkey
    readonly name: string
    readonly rung: Rung
    readonly at: number
    readonly reason?: string | undefined
    /** As in a recipient's status. */
    readonly proven?: boolean
    readonly held?: boolean
  }
  /** A message left the outbox: stored for so many, or given up for a reason. */
  outbox: { readonly id: MessageId; readonly to: readonly string[]; readonly stored?: number; readonly failed?: string }
  /** A message came with files that this session did not know yet; how they are fetched and opened, which nobody else may learn. */
  attached: readonly Attachment[]
  /** The reader has seen these messages. */
  surfaced: readonly MessageId[]
  /** Messages of a sender that did not arrive within the grace period. */
  gap: { readonly from: string; readonly session: SessionPubkey; readonly missing: number }
  /** Somebody else wrote or deleted a key of the shared state. */
  state: StateEntry & { readonly deleted: boolean }
  /** A change of the state that does not verify, or that contradicts what was seen before. */
  stateRefused: StateRefused
  connection: ConnectionState
  /** This session's own attributes or status changed. */
  me: Me
  policy: { readonly v: number }
}
