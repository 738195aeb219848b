import type { Body, contract, MessageId, RecipientPubkey, SessionPubkey } from '@claudemesh/protocol'
import type { Emitter } from './emitter.ts'
import type { Outgoing } from './outgoing.ts'
import type { Proof } from './proofs.ts'
import type { MeshEvents } from './types.ts'

interface News {
  readonly outgoing: Outgoing
  readonly events: Emitter<MeshEvents>
}

/** Reports the rungs that the broker tells of; that a message was surfaced is its word until the recipient's own proof is here. */
export function rungsTold({ outgoing, events }: News, { updates }: Body<typeof contract.messages.delivery>): void {
  for (const { messageId, sessionPubkey, mail: _, ...update } of updates) {
    if (outgoing.isProof(messageId)) continue
    const proven = update.rung === 'surfaced' ? { proven: false } : {}
    events.emit('delivery', { id: messageId, session: sessionPubkey, name: outgoing.nameOf(sessionPubkey), ...update, ...proven })
  }
}

/** Reports what a recipient proved of messages that were sent to it, or to its member. */
export function rungsProven({ outgoing, events }: News, { surfaced, held }: Proof, by: SessionPubkey, at: number): void {
  const tell = (id: MessageId, session: RecipientPubkey) => ({ id, session, name: outgoing.nameOf(session), at })
  for (const { id, recipient } of outgoing.proven('shown', surfaced, by, at))
    events.emit('delivery', { ...tell(id, recipient), rung: 'surfaced', proven: true })
  for (const { id, recipient } of outgoing.proven('held', held, by, at)) events.emit('delivery', { ...tell(id, recipient), rung: 'received', held: true })
}
