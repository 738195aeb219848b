import { and, eq } from 'drizzle-orm'
import { isErrorCode, MeshError, type contract, type MessageId, type SessionPubkey } from '@claudemesh/protocol'
import type { Answerable, Handlers } from '../handlers.ts'
import type { Ready } from '../kernel.ts'
import { delivery, message } from '../tables.ts'
import { topUp } from '../top-up.ts'

type M = typeof contract.messages

/** `send` itself is not here: it is answered after its commit, while the frames behind it go on (send.ts). */
export const messages: Handlers<M, Ready, Exclude<Answerable<M>, 'send'>> = {
  sendMore: topUp,
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
