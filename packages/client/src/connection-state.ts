import type { MeshError } from '@claudemesh/protocol'

/** Where the connection to the broker stands. Each phase carries what is only true in it. */
export type ConnectionState =
  | { readonly phase: 'idle' }
  | { readonly phase: 'dialing'; readonly attempt: number }
  | { readonly phase: 'greeting'; readonly attempt: number }
  | { readonly phase: 'ready'; readonly since: number }
  | { readonly phase: 'waiting'; readonly until: number; readonly attempt: number; readonly cause: MeshError }
  | { readonly phase: 'closed'; readonly reason: MeshError }

type Phase = ConnectionState['phase']

const moves: Record<Phase, readonly Phase[]> = {
  idle: ['dialing', 'closed'],
  dialing: ['greeting', 'waiting', 'closed'],
  greeting: ['ready', 'waiting', 'closed'],
  ready: ['dialing', 'waiting', 'closed'],
  waiting: ['dialing', 'closed'],
  closed: [],
}

/** Whether the connection may step from one phase to the other. */
export function mayBecome(from: Phase, to: Phase): boolean {
  return moves[from].includes(to)
}
