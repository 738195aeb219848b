import type { Back } from '@claudemesh/crypto'
import { sql } from 'drizzle-orm'
import { bigint, boolean, customType, foreignKey, index, integer, jsonb, pgSchema, primaryKey, text } from 'drizzle-orm/pg-core'
import type {
  ClientId,
  FileId,
  InvitePubkey,
  MemberId,
  MemberPubkey,
  MemoryId,
  MeshId,
  MessageId,
  PresenceId,
  Priority,
  RecipientPubkey,
  RootPubkey,
  Rung,
  SessionPubkey,
  StateId,
  Status,
} from '@claudemesh/protocol'
import type { NodeId } from './parcels.ts'

export const schema = pgSchema('mesh')

/** Milliseconds since the epoch, as on the wire. */
const millis = (name: string) => bigint(name, { mode: 'number' })
const meshRef = () =>
  text('mesh_id')
    .$type<MeshId>()
    .notNull()
    .references(() => mesh.id, { onDelete: 'cascade' })

export const mesh = schema.table('mesh', {
  id: text('id').$type<MeshId>().primaryKey(),
  slug: text('slug').notNull(),
  rootPubkey: text('root_pubkey').$type<RootPubkey>().notNull(),
  policy: text('policy').notNull(),
  policyVersion: integer('policy_version').notNull(),
  /** The highest version of a state key whose row is gone: a key without a row goes on from here. */
  stateFloor: integer('state_floor').notNull().default(0),
  createdAt: millis('created_at').notNull(),
})

export const member = schema.table(
  'member',
  {
    meshId: meshRef(),
    id: text('id').$type<MemberId>().notNull(),
    pubkey: text('pubkey').$type<MemberPubkey>().notNull(),
    name: text('name').notNull(),
    role: text('role').$type<'admin' | 'member'>().notNull(),
    /** Certificates from the root's side up to the member's own. */
    chain: text('chain').array().notNull(),
    invitePubkey: text('invite_pubkey').$type<InvitePubkey>(),
    createdAt: millis('created_at').notNull(),
  },
  (t) => [primaryKey({ columns: [t.meshId, t.id] })],
)

export const invite = schema.table(
  'invite',
  {
    meshId: meshRef(),
    pubkey: text('pubkey').$type<InvitePubkey>().notNull(),
    chain: text('chain').array().notNull(),
    max: integer('max').notNull(),
    used: integer('used').notNull().default(0),
    expiresAt: millis('expires_at').notNull(),
    createdAt: millis('created_at').notNull(),
  },
  (t) => [primaryKey({ columns: [t.meshId, t.pubkey] }), index('invite_pubkey_idx').on(t.pubkey)],
)

/** Each epoch that began: what the policy says of its key, and the way back to the one before. */
export const epoch = schema.table(
  'epoch',
  {
    meshId: meshRef(),
    number: integer('number').notNull(),
    mk: text('mk').notNull(),
    back: jsonb('back').$type<Back>(),
    createdAt: millis('created_at').notNull(),
  },
  (t) => [primaryKey({ columns: [t.meshId, t.number] })],
)

/** Mesh keys, each sealed for a member or for the holder of an invite. Kept for the epoch in force, and for the one that is being prepared. */
export const keybox = schema.table(
  'keybox',
  {
    meshId: meshRef(),
    /** Which key: the policy's commitment to it. */
    mk: text('mk').notNull(),
    epoch: integer('epoch').notNull(),
    reader: text('reader').$type<MemberPubkey | InvitePubkey>().notNull(),
    by: text('by').$type<MemberPubkey>().notNull(),
    nonce: text('nonce').notNull(),
    ciphertext: text('ciphertext').notNull(),
    createdAt: millis('created_at').notNull(),
  },
  // Whoever makes a box has a place of its own for it: nobody can displace another's.
  (t) => [primaryKey({ columns: [t.meshId, t.mk, t.reader, t.by] })],
)

/** One row per session key: its newest connection and the tokens that prove who it is. */
export const presence = schema.table(
  'presence',
  {
    meshId: meshRef(),
    sessionPubkey: text('session_pubkey').$type<SessionPubkey>().notNull(),
    id: text('id').$type<PresenceId>().notNull(),
    memberId: text('member_id').$type<MemberId>().notNull(),
    memberPubkey: text('member_pubkey').$type<MemberPubkey>().notNull(),
    memberName: text('member_name').notNull(),
    chain: text('chain').array().notNull(),
    presence: text('presence').notNull(),
    seq: bigint('seq', { mode: 'number' }).notNull(),
    groups: jsonb('groups').$type<{ name: string; role?: string }[]>().notNull(),
    status: text('status').$type<Status>().notNull(),
    /** False once it left, grew stale or was revoked: no longer a recipient, though its queue may remain. */
    live: boolean('live').notNull(),
    /** When its connection ended; null while it stands. */
    disconnectedAt: millis('disconnected_at'),
    /** When its session certificate ends, and its queue with it. */
    expiresAt: millis('expires_at').notNull(),
    connectedAt: millis('connected_at').notNull(),
    /** Counts the connections of this session; what is said of it under a lower number is old. */
    epoch: bigint('epoch', { mode: 'number' }).notNull().default(0),
    /** The node that holds, or held, its connection. */
    node: text('node').$type<NodeId>(),
  },
  (t) => [
    primaryKey({ columns: [t.meshId, t.sessionPubkey] }),
    index('presence_live_idx')
      .on(t.meshId)
      .where(sql`live`),
    index('presence_expires_idx').on(t.expiresAt),
  ],
)

/** One row per running broker on this store; none when it is alone by configuration. */
export const node = schema.table('node', {
  id: text('id').$type<NodeId>().primaryKey(),
  startedAt: millis('started_at').notNull(),
  /** Until then it counts as running, unless its sessions are seen elsewhere. */
  leaseUntil: millis('lease_until').notNull(),
})

/** One row per envelope; the body is ciphertext. No foreign keys from here on: this is the hot path, and the sweep removes rows by age. Keys begin with what differs most, which is what an index compares. */
export const message = schema.table(
  'message',
  {
    meshId: text('mesh_id').$type<MeshId>().notNull(),
    id: text('id').$type<MessageId>().notNull(),
    clientId: text('client_id').$type<ClientId>().notNull(),
    senderPubkey: text('sender_pubkey').$type<SessionPubkey>().notNull(),
    senderMemberId: text('sender_member_id').$type<MemberId>().notNull(),
    /** JSON of the routes as the sender wrote them. */
    targetSpec: text('target_spec').notNull(),
    priority: text('priority').$type<Priority>().notNull(),
    nonce: text('nonce').notNull(),
    ciphertext: text('ciphertext').notNull(),
    createdAt: millis('created_at').notNull(),
  },
  (t) => [primaryKey({ columns: [t.id, t.meshId] }), index('message_created_idx').using('brin', t.createdAt)],
)

/** One row per message and recipient: its wrap and its rung on the ladder. */
export const delivery = schema.table(
  'delivery',
  {
    meshId: text('mesh_id').$type<MeshId>().notNull(),
    messageId: text('message_id').$type<MessageId>().notNull(),
    recipientPubkey: text('recipient_pubkey').$type<RecipientPubkey>().notNull(),
    /** The recipient is a member: one of its sessions at a time holds the message. */
    mail: boolean('mail').notNull().default(false),
    /** The session that holds it; as good as none when that is no longer live. */
    holder: text('holder').$type<SessionPubkey>(),
    /** The order in which a recipient's queue is read. */
    seq: bigint('seq', { mode: 'number' }).notNull().generatedAlwaysAsIdentity(),
    senderPubkey: text('sender_pubkey').$type<SessionPubkey>().notNull(),
    wrap: text('wrap'),
    sizeBytes: integer('size_bytes').notNull(),
    rung: text('rung').$type<Rung>().notNull(),
    reason: text('reason'),
    at: millis('at').notNull(),
    receivedAt: millis('received_at'),
  },
  (t) => [
    primaryKey({ columns: [t.messageId, t.recipientPubkey, t.meshId] }),
    index('delivery_queue_idx')
      .on(t.recipientPubkey, t.meshId, t.seq)
      .where(sql`rung in ('stored', 'received')`),
  ],
)

/** Signed HTTP requests that were taken, on whichever node, until they are too old to be taken anyway. */
export const signedRequest = schema.table(
  'signed_request',
  {
    meshId: text('mesh_id').$type<MeshId>().notNull(),
    sessionPubkey: text('session_pubkey').$type<SessionPubkey>().notNull(),
    nonce: text('nonce').notNull(),
    until: millis('until').notNull(),
  },
  (t) => [primaryKey({ columns: [t.meshId, t.sessionPubkey, t.nonce] })],
)

/** Certificates of sessions that wrote something which outlives them, by the hash of the last one. */
export const writer = schema.table(
  'writer',
  {
    meshId: meshRef(),
    hash: text('hash').notNull(),
    chain: text('chain').array().notNull(),
    keptAt: millis('kept_at')
      .notNull()
      .default(sql`(extract(epoch from now()) * 1000)::bigint`),
  },
  (t) => [primaryKey({ columns: [t.meshId, t.hash] })],
)

/** One row per key of the shared state: sealed under a keyed hash of its name, or plain. Deleted keys stay for a while, so that versions go on. */
export const state = schema.table(
  'state',
  {
    meshId: meshRef(),
    /** The keyed hash, or `=` and the key. */
    id: text('id').$type<StateId | `=${string}`>().notNull(),
    version: integer('version').notNull(),
    key: text('key'),
    value: jsonb('value'),
    epoch: integer('epoch'),
    nonce: text('nonce'),
    ciphertext: text('ciphertext'),
    deleted: boolean('deleted').notNull(),
    sizeBytes: integer('size_bytes').notNull(),
    writerHash: text('writer_hash').notNull(),
    updatedByPresence: text('updated_by_presence').$type<SessionPubkey>().notNull(),
    updatedByName: text('updated_by_name').notNull(),
    updatedAt: millis('updated_at').notNull(),
  },
  (t) => [
    primaryKey({ columns: [t.meshId, t.id] }),
    index('state_updated_idx').on(t.meshId, t.updatedAt),
    index('state_deleted_idx')
      .on(t.updatedAt)
      .where(sql`deleted`),
  ],
)

/** How far the memories of a mesh have come. Its row is locked by each write, so that seqs become visible in their order. */
export const memoryHead = schema.table('memory_head', {
  meshId: meshRef().primaryKey(),
  seq: bigint('seq', { mode: 'number' }).notNull(),
  /** Memories that are not forgotten. */
  live: integer('live').notNull(),
  total: integer('total').notNull(),
})

const tsvector = customType<{ data: string }>({ dataType: () => 'tsvector' })

/** One row per memory. Sealed: epoch, nonce and ciphertext. Plain: the signed token, with its text and tags to search in. */
export const memory = schema.table(
  'memory',
  {
    meshId: meshRef(),
    id: text('id').$type<MemoryId>().notNull(),
    seq: bigint('seq', { mode: 'number' }).notNull(),
    epoch: integer('epoch'),
    nonce: text('nonce'),
    ciphertext: text('ciphertext'),
    token: text('token'),
    content: text('content'),
    tags: text('tags').array().notNull().default([]),
    /** The tags as words, because an array becomes none in a generated column. */
    tagWords: text('tag_words'),
    /** The mesh is a word of it, so that one index narrows by mesh and by words at once. */
    searchVector: tsvector('search_vector').generatedAlwaysAs(
      sql`setweight(to_tsvector('english', coalesce(tag_words, '')), 'C') || to_tsvector('english', content) || array_to_tsvector(array[mesh_id])`,
    ),
    sizeBytes: integer('size_bytes').notNull(),
    writerHash: text('writer_hash').notNull(),
    rememberedBy: text('remembered_by').$type<MemberId>().notNull(),
    rememberedByName: text('remembered_by_name').notNull(),
    rememberedAt: millis('remembered_at').notNull(),
    forgottenAt: millis('forgotten_at'),
  },
  (t) => [
    primaryKey({ columns: [t.meshId, t.id] }),
    index('memory_seq_idx').on(t.meshId, t.seq),
    index('memory_search_idx')
      .using('gin', t.searchVector)
      .where(sql`forgotten_at is null`),
  ],
)

/** A record as members seal it: epoch, nonce, ciphertext. */
export interface SealedRecord {
  e: number
  n: string
  c: string
}

/** One row per file; its object is where the Blob port keeps it. Names, tags and keys are inside the sealed record or message. */
export const file = schema.table(
  'file',
  {
    meshId: meshRef(),
    id: text('id').$type<FileId>().notNull(),
    /** The order in which files are listed. */
    place: bigint('place', { mode: 'number' }).notNull().generatedAlwaysAsIdentity(),
    sizeBytes: bigint('size_bytes', { mode: 'number' }).notNull(),
    persistent: boolean('persistent').notNull(),
    /** An attachment that stays as long as mail does, beside shared files: storage forgets ephemeral objects after a day. */
    forMail: boolean('for_mail').notNull().default(false),
    uploadedBySession: text('uploaded_by_session').$type<SessionPubkey>().notNull(),
    uploadedByMember: text('uploaded_by_member').$type<MemberId>().notNull(),
    uploadedAt: millis('uploaded_at').notNull(),
    /** Null while bytes are missing. */
    finishedAt: millis('finished_at'),
    /** JSON of the routes as the sender wrote them; null for the entire mesh. */
    targetSpec: text('target_spec'),
    record: jsonb('record').$type<SealedRecord>(),
    /** Who sealed the record. */
    writerHash: text('writer_hash'),
    /** Null for a shared file. An upload under way expires, too. */
    expiresAt: millis('expires_at'),
    deletedAt: millis('deleted_at'),
    /** When its object was gone as well. */
    removedAt: millis('removed_at'),
  },
  (t) => [
    primaryKey({ columns: [t.meshId, t.id] }),
    index('file_list_idx')
      .on(t.meshId, t.place)
      .where(sql`persistent and deleted_at is null`),
    index('file_expires_idx')
      .on(t.expiresAt)
      .where(sql`deleted_at is null`),
    index('file_removal_idx')
      .on(t.deletedAt)
      .where(sql`deleted_at is not null`),
  ],
)

/** Who may download an attachment, and when each said to have it: sessions, and members by their own key. */
export const fileAudience = schema.table(
  'file_audience',
  {
    meshId: text('mesh_id').$type<MeshId>().notNull(),
    fileId: text('file_id').$type<FileId>().notNull(),
    sessionPubkey: text('session_pubkey').$type<SessionPubkey>().notNull(),
    memberId: text('member_id').$type<MemberId>().notNull(),
    /** As it called itself when the file was sent. */
    peerName: text('peer_name').notNull(),
    readAt: millis('read_at'),
  },
  (t) => [
    primaryKey({ columns: [t.meshId, t.fileId, t.sessionPubkey] }),
    foreignKey({ columns: [t.meshId, t.fileId], foreignColumns: [file.meshId, file.id] }).onDelete('cascade'),
  ],
)

/** Who downloaded a file, and when first. */
export const fileAccess = schema.table(
  'file_access',
  {
    meshId: text('mesh_id').$type<MeshId>().notNull(),
    fileId: text('file_id').$type<FileId>().notNull(),
    peerSessionPubkey: text('peer_session_pubkey').$type<SessionPubkey>().notNull(),
    peerMemberId: text('peer_member_id').$type<MemberId>().notNull(),
    peerName: text('peer_name').notNull(),
    accessedAt: millis('accessed_at').notNull(),
  },
  (t) => [
    primaryKey({ columns: [t.meshId, t.fileId, t.peerSessionPubkey] }),
    foreignKey({ columns: [t.meshId, t.fileId], foreignColumns: [file.meshId, file.id] }).onDelete('cascade'),
  ],
)

/** The rungs on which a delivery still waits for its recipient. Written out, because a planner matches no parameters to the index of the queue. */
export const inQueue = sql`${delivery.rung} in ('stored', 'received')`
