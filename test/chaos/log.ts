import type { Rung } from '@claudemesh/protocol'

/** One message of a run: who sent it as its how manieth, and to whom. */
export interface Numbered {
  readonly from: string
  readonly n: number
  readonly to: string
}

/** What a client notes, in the order in which it happened to it. */
export type Entry =
  | ({ readonly did: 'send' | 'received' | 'surfaced' } & Numbered)
  | { readonly did: 'acked'; readonly n: number; readonly recipients: readonly string[] }
  | { readonly did: 'unacked'; readonly n: number; readonly code: string }
  | { readonly did: 'refused'; readonly code: string }
  /** A claim on how far a message of this client has come; the last one of a run is `final`. */
  | { readonly did: 'told'; readonly n: number; readonly of: string; readonly rung: Rung; readonly final?: true }
  | { readonly did: 'wrote'; readonly key: string; readonly version: number; readonly value: number }
  /** Told, or read: then `asked` is how many entries there were when it asked. */
  | { readonly did: 'saw'; readonly key: string; readonly version: number; readonly value: number; readonly asked?: number; readonly final?: true }

/** All that one client noted. */
export interface ClientLog {
  readonly name: string
  readonly groups: readonly string[]
  readonly entries: readonly Entry[]
}

/** What is left of a run to judge it by. */
export interface Evidence {
  readonly logs: readonly ClientLog[]
  /** An invite: how many may join with it, how many did, and what its maker was told at the end. */
  readonly invite: { readonly max: number; readonly joined: number; readonly used: number }
}
