import type { KeptMessage, MessageStatus, Peer, RecipientStatus } from '@claudemesh/client'
import { errors, isErrorCode, MeshError, type MessageId, type SessionPubkey } from '@claudemesh/protocol'
import type { Context } from '../context.ts'
import { loadConfig } from '../home/config.ts'
import { pickMesh } from '../home/meshes.ts'
import type { Result } from '../output.ts'
import { withOrWithoutBroker } from '../session/connect.ts'
import { whySilent } from '../session/why-silent.ts'

interface Step {
  readonly rung: string
  readonly at: number
}

/** Each step of a message that this member sent, per recipient, and where it stopped: why, and what helps. */
export async function trace(context: Context, id: string, flags: { mesh?: string }): Promise<Result> {
  const entry = pickMesh(loadConfig(context.home), flags.mesh)
  const { status, peers } = await withOrWithoutBroker(context, entry, { name: entry.name, groups: [] }, async (mesh) => ({
    status: await mesh.status(id as MessageId).catch(unknownIn(entry.slug, id)),
    peers: new Map(mesh.peers().map((peer) => [peer.session, peer])),
  }))
  const recipients = status.recipients.map((one) => ({
    session: one.session,
    name: one.mail ? `${one.name}'s next session` : one.name,
    steps: stepsOf(status, one),
    stopped: whyStopped(one, peers.get(one.session as SessionPubkey), context.clock.now()),
  }))
  const waits = whyInOutbox(status.outbox)
  return {
    json: { id, ...(status.outbox ? { outbox: status.outbox } : {}), recipients },
    text: [
      ...waits,
      ...recipients.flatMap(({ name, steps, stopped }) => [
        name,
        ...steps.map(({ rung, at }) => `  ${new Date(at).toISOString()}  ${rung}`),
        ...(stopped === undefined ? [] : [`  ${stopped}`]),
      ]),
    ],
  }
}

const unknownIn = (slug: string, id: string) => (error: unknown) => {
  if (!(error instanceof MeshError) || error.code !== 'not_found') throw error
  throw new MeshError('not_found', `you sent no message ${id} in ${slug}, or its trace has been swept`, { cause: error })
}

/** What there is to say of a message that no broker has seen. */
function whyInOutbox(kept: KeptMessage | undefined): string[] {
  if (!kept || kept.sentAt !== undefined) return []
  const step = (at: number, text: string) => `  ${new Date(at).toISOString()}  ${text}`
  const began = ['outbox', step(kept.keptAt, 'outbox')]
  if (kept.failedAt === undefined) return [...began, '  not stored yet: waits on this machine until the broker is back, at most 24 h']
  const reason = kept.failed ?? 'internal'
  return [...began, step(kept.failedAt, `failed: ${reason}`), `  ${isErrorCode(reason) ? errors[reason].doc : 'it never reached the broker'}`]
}

function stepsOf({ storedAt, outbox }: MessageStatus, { rung, at, receivedAt, reason, proven }: RecipientStatus): Step[] {
  const word = proven === false ? `${rung} (by the broker's word; the proof went to the sender)` : rung
  return [
    ...(outbox === undefined ? [] : [{ rung: 'outbox', at: outbox.keptAt }]),
    ...(storedAt === undefined ? [] : [{ rung: 'stored', at: storedAt }]),
    ...(receivedAt === undefined ? [] : [{ rung: 'received', at: receivedAt }]),
    ...(rung === 'stored' || rung === 'received' ? [] : [{ rung: reason === undefined ? word : `${word}: ${reason}`, at }]),
  ]
}

function whyStopped({ rung, reason = '', mail }: RecipientStatus, peer: Peer | undefined, now: number): string | undefined {
  if (rung === 'surfaced' || rung === 'answered') return undefined
  if (rung === 'failed') return `failed: ${isErrorCode(reason) ? errors[reason].doc : 'no reason is known'}`
  if (mail)
    return `${rung === 'stored' ? 'mail' : 'received by one of the member’s sessions, not yet seen by its reader'}; it waits for the member’s next session, seven days at most`
  const why = whySilent(peer, now)
  if (rung === 'stored') return `not received yet; ${why ?? 'it is connected and should take it at once: ask its person to look at claudemesh status'}`
  return `received, not yet seen by its reader; ${why ?? 'it is idle: a message of low priority waits for its next turn'}`
}
