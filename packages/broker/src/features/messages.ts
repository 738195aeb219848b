import { and, eq } from 'drizzle-orm'
import { isErrorCode, MeshError, times, type contract, type MessageId, type RecipientPubkey, type SessionPubkey } from '@claudemesh/protocol'
import type { Answerable, Handlers } from '../handlers.ts'
import type { Ready } from '../kernel.ts'
import { peerTable } from '../presence.ts'
import { pushHead, tailOf } from '../push.ts'
import { parseRecipients } from '../recipients.ts'
import { relay } from '../relay.ts'
import { route, routesOf } from '../route.ts'
import { delivery, message } from '../tables.ts'

type M = typeof contract.messages

/** `send` itself is not here: it is answered after its commit, while the frames behind it go on (send.ts). */
export const messages: Handlers<M, Ready, Exclude<Answerable<M>, 'send'>> = {
  sendMore: async ({ kernel, mesh, me }, { messageId, to, wraps }) => {
    const named = parseRecipients(me.key, to, wraps)
    await kernel.writer.settled()
    const [stored] = await kernel.db
      .select()
      .from(message)
      .where(and(eq(message.meshId, mesh.id), eq(message.id, messageId), eq(message.senderPubkey, me.key)))
    if (!stored) throw new MeshError('not_found')
    if (kernel.clock.now() - stored.createdAt > times.topUp) throw new MeshError('top_up_closed')
    const targets = JSON.parse(stored.targetSpec) as string | string[]
    const before = await kernel.db
      .select({ key: delivery.recipientPubkey })
      .from(delivery)
      .where(and(eq(delivery.meshId, mesh.id), eq(delivery.messageId, messageId)))
    const had = new Set<RecipientPubkey>(before.map((row) => row.key))
    const fresh = {
      keys: named.keys.filter((key) => !had.has(key)),
      wraps: named.wraps.filter((_, i) => !had.has(named.keys[i] as (typeof named.keys)[number])),
    }
    const routed = route(mesh, me, routesOf(targets), fresh, stored.ciphertext.length)
    const tail = Buffer.from(tailOf(stored.ciphertext), 'latin1')
    const head = pushHead(mesh.id, { ...stored, messageId, id: stored.clientId })
    routed.recipients.forEach((recipient, i) => {
      recipient.enqueue(stored.ciphertext.length)
      recipient.link?.feed.push(messageId, head, routed.wraps[i], tail)
    })
    const added = routed.recipients.map((recipient, i) => ({
      meshId: mesh.id,
      messageId,
      recipientPubkey: recipient.key,
      senderPubkey: me.key,
      wrap: routed.wraps[i] ?? null,
      sizeBytes: stored.ciphertext.length,
      rung: 'stored' as const,
      at: kernel.clock.now(),
    }))
    // Through the writer, so that a receipt for one of these comes after it.
    await kernel.writer.after(async () => {
      if (added.length > 0) await kernel.db.insert(delivery).values(added).onConflictDoNothing()
    })
    relay({ kernel, mesh }, routed.recipients, routed.wraps, () => ({ id: messageId, head, tail: tailOf(stored.ciphertext) }))
    const { peers, tokens } = peerTable(routed.missing.filter((presence) => !had.has(presence.key)))
    return { messageId, queued: added.length + named.keys.length - fresh.keys.length, missing: peers, tokens, gone: [...routed.gone] }
  },
  receipt: ({ kernel, mesh, me }, { received, surfaced = [], failed }) => {
    const receipt = (messageId: MessageId) => ({
      meshId: mesh.id,
      messageId,
      recipient: me.link?.feed.isMail(messageId) ? me.memberPubkey : me.key,
      at: kernel.clock.now(),
    })
    for (const messageId of received) kernel.writer.receive({ ...receipt(messageId), rung: 'received', reason: '' })
    for (const messageId of surfaced) {
      kernel.writer.receive({ ...receipt(messageId), rung: 'surfaced', reason: '' })
      me.link?.feed.taken(messageId)
    }
    for (const { messageId, reason } of failed) {
      // The reason reaches another model: only names of the table pass.
      kernel.writer.receive({ ...receipt(messageId), rung: 'failed', reason: isErrorCode(reason) ? reason : 'internal' })
      me.link?.feed.taken(messageId)
    }
  },
  status: async ({ kernel, mesh, me }, { messageId }) => {
    await kernel.writer.settled()
    const [mine] = await kernel.db
      .select({ storedAt: message.createdAt })
      .from(message)
      .where(and(eq(message.meshId, mesh.id), eq(message.id, messageId), eq(message.senderMemberId, me.memberId)))
    if (!mine) throw new MeshError('not_found')
    const states = await kernel.db
      .select()
      .from(delivery)
      .where(and(eq(delivery.meshId, mesh.id), eq(delivery.messageId, messageId)))
      .orderBy(delivery.seq)
    const delivered = states.length > 0 && states.every((row) => row.rung !== 'stored' && row.rung !== 'failed')
    return {
      messageId,
      storedAt: mine.storedAt,
      delivered,
      ...(delivered ? { deliveredAt: Math.max(...states.map((row) => row.at)) } : {}),
      recipients: states.map((row) => ({
        sessionPubkey: row.recipientPubkey as SessionPubkey,
        ...(row.mail ? { mail: true } : {}),
        rung: row.rung,
        at: row.at,
        ...(row.reason === null ? {} : { reason: row.reason }),
        ...(row.receivedAt === null ? {} : { receivedAt: row.receivedAt }),
        connected: mesh.presences.get((row.mail ? row.holder : row.recipientPubkey) as SessionPubkey)?.connected === true,
      })),
    }
  },
}
