import type { MessageStatus, Peer, RecipientStatus } from '@claudemesh/client'
import { errors, isErrorCode, type MessageId } from '@claudemesh/protocol'
import type { Context } from '../context.ts'
import { loadConfig } from '../home/config.ts'
import { pickMesh } from '../home/meshes.ts'
import type { Result } from '../output.ts'
import { withMesh } from '../session/connect.ts'
import { whySilent } from '../session/why-silent.ts'

interface Step {
  readonly rung: string
  readonly at: number
}

/** Each step of a message that this member sent, per recipient, and where it stopped: why, and what helps. */
export async function trace(context: Context, id: string, flags: { mesh?: string }): Promise<Result> {
  const entry = pickMesh(loadConfig(context.home), flags.mesh)
  const { status, peers } = await withMesh(context, entry, { name: entry.name, groups: [] }, async (mesh) => ({
    status: await mesh.status(id as MessageId),
    peers: new Map(mesh.peers().map((peer) => [peer.session, peer])),
  }))
  const recipients = status.recipients.map((one) => ({
    session: one.session,
    name: one.name,
    steps: stepsOf(status, one),
    stopped: whyStopped(one, peers.get(one.session), context.clock.now()),
  }))
  return {
    json: { id, recipients },
    text: recipients.flatMap(({ name, steps, stopped }) => [
      name,
      ...steps.map(({ rung, at }) => `  ${new Date(at).toISOString()}  ${rung}`),
      ...(stopped === undefined ? [] : [`  ${stopped}`]),
    ]),
  }
}

function stepsOf({ storedAt }: MessageStatus, { rung, at, receivedAt, reason, proven }: RecipientStatus): Step[] {
  const word = proven === false ? `${rung} (by the broker's word; the proof went to the sender)` : rung
  return [
    ...(storedAt === undefined ? [] : [{ rung: 'stored', at: storedAt }]),
    ...(receivedAt === undefined ? [] : [{ rung: 'received', at: receivedAt }]),
    ...(rung === 'stored' || rung === 'received' ? [] : [{ rung: reason === undefined ? word : `${word}: ${reason}`, at }]),
  ]
}

function whyStopped({ rung, reason = '' }: RecipientStatus, peer: Peer | undefined, now: number): string | undefined {
  if (rung === 'surfaced' || rung === 'answered') return undefined
  if (rung === 'failed') return `failed: ${isErrorCode(reason) ? errors[reason].doc : 'no reason is known'}`
  const why = whySilent(peer, now)
  if (rung === 'stored') return `not received yet; ${why ?? 'it is connected and should take it at once: ask its person to look at claudemesh status'}`
  return `received, not yet seen by its reader; ${why ?? 'it is idle: a message of low priority waits for its next turn'}`
}
