import type { MessageId, SessionPubkey } from '@claudemesh/protocol'
import type { Ready } from './kernel.ts'
import type { NodeId } from './parcels.ts'
import type { Presence } from './presence.ts'
import type { Span } from './tracing.ts'

/** A push for sessions of other nodes, as the frame's text. */
export interface Relayed {
  readonly id: MessageId
  readonly head: string
  readonly tail: string
  readonly volatile?: boolean
  readonly span?: Span | undefined
}

/** Hands a message to the nodes where recipients are connected. A durable one only once it is stored, because those nodes may leave it to the queue. */
export function relay(
  { kernel, mesh }: Pick<Ready, 'kernel' | 'mesh'>,
  recipients: readonly Presence[],
  wraps: readonly string[],
  message: () => Relayed,
): void {
  if (mesh.nodes.alone) return
  const byNode = new Map<NodeId, { to: SessionPubkey[]; wraps: string[] }>()
  for (const [i, { link, elsewhere, key }] of recipients.entries()) {
    if (link || elsewhere === undefined) continue
    const group = byNode.get(elsewhere) ?? { to: [], wraps: [] }
    byNode.set(elsewhere, group)
    group.to.push(key)
    const wrap = wraps[i]
    if (wrap !== undefined) group.wraps.push(wrap)
  }
  if (byNode.size === 0) return
  const { id, head, tail, volatile, span } = message()
  for (const [node, group] of byNode) {
    const passing = kernel.tracer?.begin('relay', { mesh: mesh.id, message: id, node, recipients: group.to.length }, span)
    const trace = passing ? { trace: passing.trace } : {}
    mesh.nodes.toNode(node, { t: 'push', mesh: mesh.id, id, ...group, ...(volatile === true ? { volatile } : {}), ...trace }, head, tail)
    passing?.end()
  }
}
