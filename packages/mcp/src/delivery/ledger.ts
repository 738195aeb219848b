import type { MessageId } from '@claudemesh/protocol'

/** What outlives a crash of this server: the process that started the session keeps it and gives it to the next server. */
export interface Ledger {
  /** Handed to the session by an earlier server, which did not learn whether they were seen. */
  readonly offered: readonly MessageId[]
  /** Claude Code's transcript of the session, once a hook named it. */
  readonly transcript?: string | undefined
  readonly record: (entry: LedgerEntry) => void
}

export interface LedgerEntry {
  readonly offered?: readonly MessageId[]
  readonly withdrawn?: readonly MessageId[]
  readonly surfaced?: readonly MessageId[]
  readonly transcript?: string
}
