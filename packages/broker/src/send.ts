import { messageIdOf } from '@claudemesh/crypto'
import { MeshError, toErrorFrame, type MessageId } from '@claudemesh/protocol'
import { ackText } from './ack.ts'
import type { Ready } from './kernel.ts'
import { pushHead, tailOf } from './push.ts'
import { parseRecipients } from './recipients.ts'
import { relay } from './relay.ts'
import { repeatedAck } from './repeat.ts'
import { route, routeDirect, routesOf, type Routed } from './route.ts'
import type { ScannedSend, SendHeader } from './scan.ts'

/** One envelope on its way: what was asked, under which id it goes, and who gets it. */
interface Passing {
  readonly header: SendHeader
  readonly body: string
  readonly targetSpec: string
  readonly id: MessageId
  readonly createdAt: number
}

/** Takes one envelope: pushed to who is connected in this turn, stored with the next commit, and answered after it. Throws what is refused. */
export function send(context: Ready, { header, tail, body }: ScannedSend): void {
  const { kernel, mesh, me } = context
  const stored = header.volatile !== true
  const passing = { header, body, targetSpec: JSON.stringify(header.targetSpec), id: messageIdOf(me.key, header.id), createdAt: kernel.clock.now() }
  const routed = routeSend(context, header, stored ? body.length : undefined)
  if (kernel.tap) tap(context, passing)
  if (stored && mesh.recent(passing.id, header.nonce)) {
    repeat(context, passing)
    return
  }
  push(context, passing, routed, tail)
  if (!stored) {
    relayTo(context, passing, routed)
    answer(context, passing, routed, 0)
  } else if (routed.recipients.length === 0 && routed.missing.length === 0) {
    mesh.forget(passing.id)
    answer(context, passing, routed, 0)
  } else store(context, passing, routed)
}

function routeSend({ mesh, me }: Ready, { to, wraps, targetSpec }: SendHeader, bytes: number | undefined): Routed {
  if (to === targetSpec && wraps === undefined) return routeDirect(mesh, me, to, bytes)
  return route(mesh, me, routesOf(targetSpec), parseRecipients(me.key, to, wraps), bytes)
}

function headOf({ mesh, me }: Ready, { header, targetSpec, id, createdAt }: Passing): string {
  return pushHead(mesh.id, { messageId: id, id: header.id, senderPubkey: me.key, priority: header.priority, targetSpec, createdAt, nonce: header.nonce })
}

function push(context: Ready, passing: Passing, { recipients, wraps }: Routed, tail: Buffer): void {
  const { header, id } = passing
  const head = headOf(context, passing)
  for (let i = 0; i < recipients.length; i++) {
    const feed = recipients[i]?.link?.feed
    if (!feed) continue
    const wrap = wraps[i]
    const text = wrap === undefined ? head : `${head},"wrap":"${wrap}"`
    if (header.volatile === true) feed.pushVolatile(text, tail)
    else feed.push(id, text, tail)
  }
}

function relayTo(context: Ready, passing: Passing, { recipients, wraps }: Routed): void {
  const { id, header, body } = passing
  relay(context.mesh, recipients, wraps, () => ({ id, head: headOf(context, passing), tail: tailOf(body), volatile: header.volatile === true }))
}

function store(context: Ready, passing: Passing, routed: Routed): void {
  const { kernel, session, mesh, me } = context
  const { header, body, id } = passing
  for (const recipient of routed.recipients) recipient.enqueue(body.length)
  kernel.writer.add({
    meshId: mesh.id,
    id,
    clientId: header.id,
    sender: me.key,
    senderMember: me.memberId,
    targetSpec: passing.targetSpec,
    priority: header.priority,
    nonce: header.nonce,
    body,
    createdAt: passing.createdAt,
    recipients: routed.recipients.map((recipient) => recipient.key),
    wraps: routed.wraps,
    settled: (outcome) => {
      if (outcome === 'stored') {
        relayTo(context, passing, routed)
        answer(context, passing, routed, routed.recipients.length)
        return
      }
      for (const recipient of routed.recipients) recipient.unqueue(body.length)
      if (outcome === 'known') repeat(context, passing)
      else {
        mesh.forget(id)
        session.fail(outcome, header.id)
      }
    },
  })
}

function answer({ session, mesh, me }: Ready, { header, id, createdAt }: Passing, routed: Routed, queued: number): void {
  for (const { key } of routed.full) mesh.delivered(me.key, { messageId: id, sessionPubkey: key, rung: 'failed', at: createdAt, reason: 'queue_full' })
  const alone = routed.full.length === 1 && routed.recipients.length + routed.gone.length === 0
  if (alone) session.write(JSON.stringify(toErrorFrame(new MeshError('queue_full'), header.id)))
  else session.write(ackText(header.id, id, queued, header.volatile === true, routed.missing, routed.gone))
}

function repeat(context: Ready, { header, body, targetSpec, id, createdAt }: Passing): void {
  repeatedAck(context, id, { ...header, targetSpec, body, createdAt }).then(
    (ack) => context.session.write(ack),
    (error: unknown) => context.session.fail(error, header.id),
  )
}

function tap({ kernel, me }: Ready, { header, body, targetSpec }: Passing): void {
  const { keys } = parseRecipients(me.key, header.to, header.wraps)
  kernel.tap?.({
    senderPubkey: me.key,
    recipients: keys,
    targetSpec,
    priority: header.priority,
    bytes: body.length,
    ciphertext: body.slice(0, 64),
  })
}
