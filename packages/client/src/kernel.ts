import type { Random } from '@claudemesh/crypto'
import type { Contract, Log } from '@claudemesh/protocol'
import type { Amendment } from './amend.ts'
import type { Calls } from './calls.ts'
import type { Emitter } from './emitter.ts'
import type { MeshKeys } from './features/keys.ts'
import type { Records } from './features/records.ts'
import type { PolicyKeeper } from './policy.ts'
import type { Roster } from './roster.ts'
import type { Self } from './self.ts'
import type { Takes } from './takes.ts'
import type { ConnectOptions, MeshEvents } from './types.ts'

/** What the nouns of a session share: each `features/<noun>.ts` builds on this, and on no other noun. */
export interface Kernel {
  readonly options: ConnectOptions
  readonly random: Random
  readonly log: Log
  readonly calls: Calls<Contract>
  readonly takes: Takes
  readonly self: Self
  readonly policy: PolicyKeeper
  readonly roster: Roster
  readonly events: Emitter<MeshEvents>
  readonly keys: MeshKeys
  readonly records: Records
  /** Changes the signed policy. Throws `bad_policy` unless this member is an admin. */
  amend(change: Amendment): Promise<void>
  /** Adopts a policy as if the broker had told it. Throws `bad_policy`. */
  takePolicy(token: string): void
  /** Fetches the policy that the broker knows, and adopts it. Throws `bad_policy`. */
  askPolicy(): Promise<void>
}
