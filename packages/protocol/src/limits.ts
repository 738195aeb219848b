/** Every limit of the wire, in bytes unless the name says otherwise. Both ends use these numbers. */
export const limits = {
  frameBeforeHello: 16 * 1024,
  frame: 1024 * 1024,
  jsonDepth: 32,
  /** UTF-8 bytes of a message's text. */
  message: 64 * 1024,
  nameChars: 64,
  roleChars: 64,
  summaryChars: 280,
  groupsPerPeer: 32,
  /** Groups that live sessions of one mesh are in. */
  groupsPerMesh: 256,
  members: 10_000,
  /** Invites of a mesh that can still be used. */
  invites: 1000,
  recipients: 2048,
  targets: 64,
  tokenChars: 8192,
  /** Characters of a signed policy: some thousand revoked keys. */
  policyTokenChars: 65_536,
  /** Characters of a signed state record: 64 KiB of JSON, and what names and signs it. */
  stateTokenChars: 92_160,
  /** Characters of a signed memory record: 16 KiB of text, escaped, and what names and signs it. */
  memoryTokenChars: 65_536,
  keyboxesPerFrame: 1024,
  /** Members that are told when one of them has no key. */
  keyAskees: 8,
  membersPerPage: 200,
  backsPerPage: 512,
  recordIdChars: 64,
  stateKeyChars: 128,
  tagsPerRecord: 16,
  chainTokens: 5,
  peersPerPage: 200,
  receiptsPerFrame: 1024,
  /** UTF-8 bytes of a state value's JSON. */
  stateValue: 64 * 1024,
  /** Deepest nesting of a state value, and of one that travels inside frames as it is. */
  stateDepth: 32,
  plainStateDepth: 28,
  /** Ciphertext of a state record: the value in a signed token, padded. */
  stateRecord: 104 * 1024,
  stateKeys: 10_000,
  stateBytes: 16 * 1024 * 1024,
  statePerPage: 200,
  /** Plain bytes of one file. */
  file: 4 * 1024 ** 3,
  /** Bytes of one sealed object. */
  object: 4 * 1024 ** 3 + 2 * 1024 ** 2,
  /** Bytes of all objects of a mesh. */
  filesPerMesh: 5 * 1024 ** 3,
  filesPerMessage: 16,
  filesPerPage: 100,
  uploadsPerSession: 64,
  transfersPerSession: 8,
  fileNameBytes: 120,
  mimeChars: 100,
  queuedPerSession: 1000,
  queuedBytesPerSession: 16 * 1024 * 1024,
  /** UTF-8 bytes of a memory's text. */
  memory: 16 * 1024,
  /** Ciphertext of a memory: the text in a signed token, padded. */
  memoryRecord: 72 * 1024,
  /** Memories that a mesh holds, those that were forgotten not counted; with them it may be twice as many. */
  memories: 50_000,
  memoriesPerPage: 500,
  /** Ciphertext, roughly, of one page. */
  memoryPageBytes: 512 * 1024,
  tagChars: 64,
  recallChars: 1024,
  recallResults: 50,
  /** What waits on one machine for the broker of one mesh. */
  outboxMessages: 1000,
  outboxBytes: 16 * 1024 * 1024,
} as const

/** Durations of the protocol, in milliseconds. */
export const times = {
  skew: 300_000,
  helloDeadline: 10_000,
  ping: 30_000,
  /** Three missed pings: a silent presence is marked disconnected. */
  stale: 90_000,
  topUp: 30_000,
  /** Content keys are wiped after this. */
  contentKey: 60_000,
  /** A member without a mesh key waits this long for another to hand it over. */
  keyAnswer: 10_000,
  /** Key boxes of an epoch that never began are kept this long. */
  pendingKeyboxes: 3_600_000,
  /** A request that the broker puts off for no longer than this, all in all, comes again by itself. */
  putOff: 5_000,
  /** A sealed message waits this long for the broker. */
  outboxLife: 24 * 3_600_000,
  messageLife: 7 * 24 * 3_600_000,
  sessionLife: 24 * 3_600_000,
  sessionLifeMax: 7 * 24 * 3_600_000,
  /** A deleted state key keeps its row this long. */
  tombstoneLife: 30 * 24 * 3_600_000,
  inviteLife: 24 * 3_600_000,
  attachmentLife: 24 * 3_600_000,
  /** An upload that nobody goes on with is given up. */
  uploadLife: 3_600_000,
  /** A transfer that moves no byte for this long is cut. */
  transferIdle: 60_000,
} as const

/** WebSocket close codes beyond the standard ones. */
export const closeCodes = {
  badFrame: 4400,
  unauthorized: 4401,
  revoked: 4403,
  helloTimeout: 4408,
  replaced: 4409,
  slowConsumer: 4410,
  restart: 1012,
  /** Too many greetings from one address. */
  tryLater: 1013,
  tooLarge: 1009,
} as const
