import type { ClientId, contract, Input, MessageId, SessionPubkey } from '@claudemesh/protocol'

/** The highest policy ever seen, kept by the app so that an older one is refused after a restart. */
export interface PolicyPin {
  load(): string | undefined
  save(token: string): void
}

/** Where the app keeps the sealed memory of one mesh between sessions, so that only what is new crosses the wire. All of it is ciphertext; losing any of it costs time alone. */
export interface MemoryCache {
  /** All lines that were appended since the last replace; undefined when nothing is kept. What a crash cut off may be missing at the end. */
  load(): Promise<string | undefined>
  /** Adds whole lines. Several processes may do so at once. */
  append(lines: string): Promise<void>
  replace(lines: string): Promise<void>
  loadIndex(): Promise<string | undefined>
  saveIndex(sealed: string): Promise<void>
}

/** The mesh's members as the broker last listed them: certificates, which prove themselves. Kept by the app, so that mail can be sealed while the broker is away. */
export interface MemberCache {
  load(): { readonly at: number; readonly chains: readonly (readonly string[])[] } | undefined
  save(list: { readonly at: number; readonly chains: readonly (readonly string[])[] }): void
}

/** Which mail this member's sessions have shown, kept by the app for as long as a broker could replay it: two weeks. */
export interface MailSeen {
  has(id: MessageId): boolean
  add(ids: readonly MessageId[]): void
}

/** A sealed message that waits on disk for the broker. */
export interface OutboxEntry {
  readonly id: MessageId
  /** When it was sealed. */
  readonly at: number
  /** Names of its recipients, for people. */
  readonly to: readonly string[]
  /** The session that sealed it, with what proves it. */
  readonly session: SessionPubkey
  readonly chain: readonly string[]
  readonly presence: string
  /** The `send` as it goes out, again and again the same bytes. */
  readonly frame: Omit<Input<typeof contract.messages.send>, 'id' | 'forward'> & { readonly id: ClientId }
}

/** What became of a message that was in the outbox. */
export interface KeptMessage {
  readonly keptAt: number
  readonly sentAt?: number | undefined
  readonly failedAt?: number | undefined
  readonly failed?: string | undefined
}

/** The outbox of one mesh on this machine, shared by all processes of the member and kept by the app. */
export interface OutboxPort {
  /** On disk, to stay, when this returns. Throws `outbox_full` or `outbox_unwritable`, and then nothing is left of it. */
  keep(entry: OutboxEntry): void
  /** What waits, in the order in which it was kept. */
  list(): readonly OutboxEntry[]
  /** The message no longer waits; what became of it is remembered for a week. */
  settle(id: MessageId, outcome: Omit<KeptMessage, 'keptAt'>): void
  find(id: MessageId): KeptMessage | undefined
  /** Runs the task unless another living process runs one. */
  exclusively(task: () => Promise<void>): Promise<void>
}
