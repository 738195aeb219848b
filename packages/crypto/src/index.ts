export { fromB64u, toB64u } from './base64.ts'
export type { Chain, ChainAdmin, ChainEnd, ChainInvite, ChainMember, ChainOptions, ChainSession, ChainTo, Revoked } from './chain-types.ts'
export { verifyChain } from './chain.ts'
export { SendCounters } from './counters.ts'
export type { ChunkCipher, ChunkKey } from './chunk-cipher.ts'
export { FileStream, fileHead, objectSize, openFile, resumePoint, sealFile, type FileKey, type SealedFile } from './files.ts'
export { signCreate, signEnrol, signHello, verifyCreate, verifyEnrol, verifyHello, type Greeting } from './hello.ts'
export { signHttp, verifyHttp, type HttpCaller, type HttpMethod, type HttpRequest } from './http-token.ts'
export type { InnerMessage } from './inner.ts'
export { formatInviteLink, parseInviteLink, type InviteLink } from './invite-link.ts'
export { issueInvite, issueMember, issuePresence, issueSession, type Role } from './issue.ts'
export {
  fingerprint,
  inviteKey,
  memberIdOf,
  memberKey,
  meshIdOf,
  rootKey,
  seedOf,
  sessionKey,
  type InviteKey,
  type KeyPair,
  type MemberKey,
  type RootKey,
  type SessionKey,
} from './keys.ts'
export { messageIdOf } from './message-id.ts'
export { backHash, commitMeshKey, newMeshKey, openBack, sealBack, type Back, type MeshKey } from './mesh-keys.ts'
export { openKeybox, sealKeybox, type Keybox } from './keybox.ts'
export { openLocal, sealLocal } from './local.ts'
export { open, type Envelope, type Opened, type OpenOptions } from './open.ts'
export { PairKeys } from './pair-keys.ts'
export { issuePolicy, verifyPolicy, type Allow, type Epoch, type Policy, type PolicyOptions } from './policy.ts'
export { verifyPresence, type Presence } from './presence.ts'
export { webRandom, type Random } from './random.ts'
export { openRecord, sealRecord, stateId, type Purpose, type SealedRecord } from './records.ts'
export { ReplayWindows } from './replay-windows.ts'
export { meshWords, pairWords } from './safety-words.ts'
export { seal, type Addressed, type Sealed, type SealOptions } from './seal.ts'
export { claimedRecord, issueRecord, peekRecord, verifyRecord, type RecordOf, type RecordType } from './signed-records.ts'
export { ready } from './sodium.ts'
export { tokenHash } from './token.ts'
export { TokenCache } from './token-cache.ts'
