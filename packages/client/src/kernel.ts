import type { Random } from '@claudemesh/crypto'
import type { Contract, Log } from '@claudemesh/protocol'
import type { Calls } from './calls.ts'
import type { Emitter } from './emitter.ts'
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
}
