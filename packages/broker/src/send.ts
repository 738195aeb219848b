import { messageIdOf } from '@claudemesh/crypto'
import { limits, MeshError, toErrorFrame, type MessageId, type SessionPubkey } from '@claudemesh/protocol'
import { ackText } from './ack.ts'
import type { Ready } from './kernel.ts'
import type { Presence } from './presence.ts'
import { pushHead } from './push.ts'
import { answers, missing, parseRecipients } from './recipients.ts'
import { repeatedAck } from './repeat.ts'
import type { ScannedSend } from './scan.ts'
import { frameHead, textFrame } from './wire.ts'

/** Who of the named recipients gets a message, and who does not. */
interface Routed {
  readonly recipients: Presence[]
  readonly wraps: string[]
  readonly gone: SessionPubkey[]
  readonly full: Presence[]
  readonly missing: Presence[]
}

/** Takes one envelope: pushed to who is connected in this turn, stored with the next commit, and answered after it. Throws what is refused. */
export function send({ kernel, session, mesh, me }: Ready, { header, tail, body }: ScannedSend): void {
  const routes = new Set(typeof header.targetSpec === 'string' ? [header.targetSpec] : header.targetSpec)
  const targetSpec = JSON.stringify(header.targetSpec)
  const named = parseRecipients(me.key, header.to, header.wraps)
  const stored = header.volatile !== true
  const id = messageIdOf(me.key, header.id)
  const message = { ...header, messageId: id, senderPubkey: me.key, targetSpec, createdAt: kernel.clock.now() }
  kernel.tap?.({
    senderPubkey: me.key,
    recipients: named.keys,
    targetSpec,
    priority: header.priority,
    bytes: body.length,
    ciphertext: body.toString('latin1', 0, 64),
  })
  if (stored) {
    const before = mesh.recent(id, header.nonce)
    if (before !== undefined) {
      repeat()
      return
    }
  }
  const routed = route({ mesh, me }, routes, named, stored ? body.length : undefined)
  const head = pushHead(mesh.id, message)
  routed.recipients.forEach((recipient, i) => {
    const feed = recipient.link?.feed
    if (!feed) return
    const wrap = routed.wraps[i]
    const frame = frameHead(wrap === undefined ? head : `${head},"wrap":"${wrap}"`, tail.length)
    if (stored) feed.push(id, frame, tail)
    else feed.pushVolatile(frame, tail)
  })
  if (!stored || (routed.recipients.length === 0 && routed.missing.length === 0)) {
    if (stored) mesh.forget(id)
    answer(0)
    return
  }
  for (const recipient of routed.recipients) {
    recipient.queued.count++
    recipient.queued.bytes += body.length
  }
  kernel.writer.add({
    meshId: mesh.id,
    id,
    clientId: header.id,
    sender: me.key,
    senderMember: me.memberId,
    targetSpec,
    priority: header.priority,
    nonce: header.nonce,
    body,
    createdAt: message.createdAt,
    recipients: routed.recipients.map((recipient) => recipient.key),
    wraps: routed.wraps,
    settled: (outcome) => {
      if (outcome === 'stored') {
        answer(routed.recipients.length)
        return
      }
      for (const recipient of routed.recipients) {
        recipient.queued.count--
        recipient.queued.bytes -= body.length
      }
      if (outcome === 'known') repeat()
      else {
        mesh.forget(id)
        session.fail(outcome, header.id)
      }
    },
  })

  function repeat(): void {
    repeatedAck({ kernel, session, mesh, me }, id, { ...header, targetSpec, body }).then(
      (ack) => session.write(textFrame(ack)),
      (error: unknown) => session.fail(error, header.id),
    )
  }

  function answer(queued: number): void {
    if (routed.full.length > 0) refuseFull(routed.full, id, message.createdAt)
    if (routed.full.length > 0 && named.keys.length === 1) session.write(textFrame(JSON.stringify(toErrorFrame(new MeshError('queue_full'), header.id))))
    else session.write(textFrame(ackText(header.id, id, queued, !stored, routed.missing, routed.gone)))
  }

  function refuseFull(full: Presence[], messageId: MessageId, at: number): void {
    for (const { key } of full) mesh.delivered(me.key, { messageId, sessionPubkey: key, rung: 'failed', at, reason: 'queue_full' })
  }
}

/** The recipients that answer to the routes and have room for `bytes` more; without `bytes` no room is needed. */
export function route(
  { mesh, me }: Pick<Ready, 'mesh' | 'me'>,
  routes: ReadonlySet<string>,
  named: { keys: readonly SessionPubkey[]; wraps: readonly string[] },
  bytes: number | undefined,
): Routed {
  const routed: Routed = { recipients: [], wraps: [], gone: [], full: [], missing: missing(mesh, me, routes, new Set(named.keys)) }
  for (const [i, key] of named.keys.entries()) {
    const presence = mesh.presences.get(key)
    if (!presence || !answers(presence, routes)) routed.gone.push(key)
    else if (bytes !== undefined && isFull(presence, bytes)) routed.full.push(presence)
    else {
      routed.recipients.push(presence)
      const wrap = named.wraps[i]
      if (wrap !== undefined) routed.wraps.push(wrap)
    }
  }
  return routed
}

const isFull = ({ queued }: Presence, bytes: number): boolean => queued.count >= limits.queuedPerSession || queued.bytes + bytes > limits.queuedBytesPerSession
