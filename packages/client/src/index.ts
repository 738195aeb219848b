export type { Amendment } from './amend.ts'
export type { Calls } from './calls.ts'
export type { Dial, Wire, WireEvents } from './dial.ts'
export { createMesh, enrol, type CreatedMesh, type CreateMeshOptions, type Enrolled, type EnrolOptions } from './enrol.ts'
export type { FileQuery, Files, ShareOptions } from './features/files.ts'
export { safeFileName } from './files/name.ts'
export type { AttachedFile, FilePart, FileReader, FileSource, Progress, RemoteFile, SharedFile } from './files/types.ts'
export type { Inbox } from './inbox.ts'
export type { Memory } from './features/memory.ts'
export type { EpochKey, MeshKeys } from './features/keys.ts'
export type { Author, Records, Row, Verified, Written } from './features/records.ts'
export type { Enrolment } from './members.ts'
export { Mesh } from './mesh.ts'
export type { State } from './features/state.ts'
export type { Seen, StatePin } from './state-seen.ts'
export type { Answer, Hasher, Transfer } from './transfer.ts'
export type { ConnectionState } from './connection-state.ts'
export type { KeptMessage, MailSeen, MemoryCache, MemberCache, OutboxEntry, OutboxPort, PolicyPin } from './ports.ts'
export type {
  ConnectOptions,
  CreatedInvite,
  GroupRole,
  Identity,
  InviteInfo,
  InviteOptions,
  Me,
  Member,
  MeshEvents,
  MessageStatus,
  Peer,
  RecallOptions,
  ReceivedMessage,
  RecipientStatus,
  RefusedMessage,
  Remembered,
  Resolved,
  SendOptions,
  SendResult,
  StateEntry,
  StateRefused,
} from './types.ts'
