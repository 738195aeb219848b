import { closeCodes, MeshError } from '@claudemesh/protocol'
import type { Kernel } from './kernel.ts'
import { holderFor } from './mail.ts'
import type { Mesh } from './mesh.ts'
import type { MeshParcel, NodeId, NodeParcel, Parcel } from './parcels.ts'
import { adopt } from './policy.ts'
import { tailOf } from './push.ts'
import { away, take } from './roster.ts'

/** Does what another node tells of a mesh that both host. */
export function takeForMesh(kernel: Kernel, mesh: Mesh, { parcel, raw }: Parcel<MeshParcel>, from: NodeId): void {
  if (parcel.t === 'frame' && parcel.only) for (const key of parcel.only) mesh.presences.get(key)?.link?.session.write(raw[0] ?? '')
  else if (parcel.t === 'frame') {
    if (parcel.change) mesh.told.note(parcel.change)
    mesh.write(raw[0] ?? '', parcel.except)
  } else if (parcel.t === 'asks') mesh.askers.set(parcel.member, parcel.until)
  else if (parcel.t === 'policy') adopt(kernel, mesh, parcel.token)
  else if (parcel.t === 'presence') {
    if (parcel.unsure === true) mesh.doubt()
    take(kernel, mesh, parcel.presence, from)
  } else if (parcel.t === 'away') wentAway(kernel, mesh, parcel)
  else if (parcel.t === 'gone') gone(mesh, parcel)
  else if (parcel.t === 'mail') holderFor(mesh, parcel.member)?.link?.feed.again()
  else {
    const presence = mesh.presences.get(parcel.key)
    if (presence?.epoch !== parcel.epoch || presence.link) return
    presence.status = parcel.status
    presence.statusSince = parcel.since
    mesh.changed(presence)
  }
}

/** Does what another node asks of this one for the sessions it holds. */
export function takeForNode(kernel: Kernel, item: Parcel<NodeParcel>, from: NodeId): void {
  const { parcel } = item
  const mesh = kernel.meshes.peek(parcel.mesh)
  if (!mesh) return
  if (parcel.t === 'push') {
    const { id, to, trace } = parcel
    const span = trace === undefined ? undefined : kernel.tracer?.begin('push', { mesh: mesh.id, message: id, node: from, recipients: to.length }, trace)
    pushHere(mesh, parcel, item.raw, from)
    span?.end()
  } else if (parcel.t === 'rungs') {
    for (const [i, update] of parcel.updates.entries()) {
      if (update.rung !== 'received') mesh.presences.get(update.sessionPubkey)?.unqueue(parcel.sizes[i] ?? 0)
      mesh.delivered(parcel.sender, update, parcel.sizes[i])
    }
  } else {
    const presence = mesh.presences.get(parcel.key)
    if (presence?.epoch !== parcel.epoch) return
    presence.swaps.push(kernel.clock.now())
    presence.link?.session.refuse(new MeshError(parcel.code), closeCodes.replaced)
  }
}

const emptyTail = tailOf('').length

function pushHere(mesh: Mesh, parcel: NodeParcel & { t: 'push' }, raw: readonly string[], from: NodeId): void {
  const { id, to, wraps, volatile, onward } = parcel
  const [head = '', tailText = ''] = raw
  const tail = Buffer.from(tailText, 'latin1')
  for (const [i, key] of to.entries()) {
    const presence = mesh.presences.get(key)
    const wrap = wraps[i]
    if (volatile === true) presence?.link?.feed.pushVolatile(head, wrap, tail)
    else presence?.enqueue(tail.length - emptyTail)
    if (volatile !== true) presence?.link?.feed.pushFrom(from, id, head, wrap, tail)
    // The sender's node has not heard yet that this session moved on.
    const next = presence?.elsewhere
    if (next === undefined || next === from || onward === true) continue
    mesh.nodes.toNode(next, { ...parcel, to: [key], wraps: wrap === undefined ? [] : [wrap], onward: true }, head, tailText)
  }
}

function wentAway(kernel: Kernel, mesh: Mesh, { key, epoch, at }: MeshParcel & { t: 'away' }): void {
  const presence = mesh.presences.get(key)
  if (!presence || presence.link || presence.epoch > epoch) return
  presence.epoch = epoch
  away(kernel, mesh, presence, at)
}

function gone(mesh: Mesh, { key, epoch, reason }: MeshParcel & { t: 'gone' }): void {
  const presence = mesh.presences.get(key)
  if (!presence || presence.epoch > epoch) return
  const link = presence.link
  link?.feed.close()
  mesh.remove(presence, reason)
  presence.link = undefined
  presence.elsewhere = undefined
  link?.session.refuse(new MeshError('revoked'), closeCodes.revoked)
}
