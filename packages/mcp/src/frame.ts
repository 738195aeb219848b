import type { ReceivedMessage } from '@claudemesh/client'
import { MeshError } from '@claudemesh/protocol'

/** Peer messages as text for a model: one frame per message that its content cannot close. */
export function framePeerMessages(_messages: readonly ReceivedMessage[]): string {
  throw new MeshError('internal', 'not built yet')
}
