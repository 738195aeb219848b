export { silent, systemClock, type Clock, type Log, type LogLevel } from './ambient.ts'
export { contract, tools, type Contract } from './contract.ts'
export { inviteDeposit } from './features/session.ts'
export { attachment, type Attachment } from './features/files.ts'
export { sealedReceipt } from './features/messages.ts'
export type { Body, Event, Feature, Input, Member, Notice, Output, Phase, Request, Tool, ToolInput } from './define.ts'
export { MeshError, errors, isErrorCode, type ErrorCode, type Retry } from './errors.ts'
export type { DeliveryState, PeerFrame, Priority, RecipientState, Rung, Status } from './fields.ts'
export {
  check,
  errorFrame,
  events,
  fromErrorFrame,
  nesting,
  parseClientFrame,
  parseJson,
  requests,
  toErrorFrame,
  type ClientFrame,
  type Json,
} from './frames.ts'
export type {
  ClientId,
  FileId,
  InvitePubkey,
  MemberId,
  MemberPubkey,
  MemoryId,
  MeshId,
  MessageId,
  PresenceId,
  RecipientPubkey,
  RootPubkey,
  SessionPubkey,
  StateId,
} from './ids.ts'
export { closeCodes, limits, times } from './limits.ts'
export { foldName, parseGroup, parseLabel, parseName } from './names.ts'
export { isPutOff, isStorageAway, type Refused } from './put-off.ts'
export { parseMemory, parseTags } from './memories.ts'
export { parseQuery, type Query } from './query.ts'
export { matchesKey, parseStateKey, stateJson } from './state-values.ts'
export { readAhead, release, WriteBehind } from './streams.ts'
export { addressesOf, parseGroupList, parseTarget, type Target } from './targets.ts'
export { contractVersion } from './version.ts'
