import { createInterface } from 'node:readline'
import { text as readAll } from 'node:stream/consumers'
import type { Mesh, SendResult } from '@claudemesh/client'
import { MeshError, type Priority, type Rung } from '@claudemesh/protocol'
import type { Context } from '../context.ts'
import { Failure } from '../failure.ts'
import { loadConfig } from '../home/config.ts'
import { pickMesh } from '../home/meshes.ts'
import { parsePersona } from '../launch/persona.ts'
import type { Output, Result } from '../output.ts'
import { withOrWithoutBroker } from '../session/connect.ts'
import { DeliveryWatch, type WaitedFor } from '../session/delivery-watch.ts'
import { sources } from '../session/sources.ts'

export interface SendFlags {
  readonly mesh?: string
  readonly lines?: boolean
  readonly name?: string
  readonly priority?: Priority
  readonly durable?: boolean
  readonly file?: readonly string[]
  readonly wait: 'stored' | WaitedFor
}

/** Sends one message, or with `--lines` one per line of stdin, as a session of its own; returns when all of it stands on the rung waited for. */
export async function send(context: Context, output: Output, to: readonly string[], text: string, flags: SendFlags): Promise<void> {
  if (flags.lines && text !== '-') throw new Failure('usage', '--lines reads stdin: put - in place of the text')
  const entry = pickMesh(loadConfig(context.home), flags.mesh)
  await withOrWithoutBroker(context, entry, parsePersona(flags, entry.name), async (mesh) => {
    using watch = new DeliveryWatch(mesh)
    await using files = await sources(context, output, flags.file ?? [])
    for await (const message of messages(context, text, flags.lines === true)) {
      const sent = await mesh
        .send({ to, message, ...(flags.priority ? { priority: flags.priority } : {}), ...(flags.durable ? { durable: true } : {}), ...files.attached })
        .catch(explain(mesh, entry.slug))
      const recipients = [...sent.recipients.map((recipient) => recipient.session), ...sent.mail.map(({ member }) => member)]
      if (flags.wait !== 'stored' && !sent.outbox) await watch.until(flags.wait, sent.id, recipients, mesh)
      output.result(resultOf(sent, flags.wait))
    }
  })
}

/** Without a broker nobody is known to be online: that, and not the name, is what is wrong. */
const explain =
  (mesh: Mesh, slug: string) =>
  (error: unknown): never => {
    const nobody = error instanceof MeshError && (error.code === 'unknown_target' || error.code === 'no_recipients')
    if (!nobody || mesh.connection.phase === 'ready') throw error
    throw new MeshError('unavailable', `the broker of ${slug} is away, so nobody is known to be online; --durable reaches a known member's next session`, {
      cause: error,
    })
  }

async function* messages(context: Context, text: string, lines: boolean): AsyncGenerator<string> {
  if (text !== '-') yield text
  else if (!lines) yield (await readAll(context.stdin)).replace(/\n$/, '')
  else for await (const line of createInterface({ input: context.stdin, crlfDelay: Infinity })) if (line !== '') yield line
}

function resultOf(sent: SendResult, waited: Rung): Result {
  const gone = sent.gone.map((recipient) => recipient.name)
  const names = [...sent.recipients.map((recipient) => recipient.name), ...sent.mail.map(({ name }) => `${name}'s next session`)]
  const { id, recipients, mail, queued, outbox } = sent
  return {
    json: { id, recipients, mail, queued, gone: sent.gone, ...(outbox ? { outbox } : { rung: waited }) },
    text: outbox
      ? `not stored yet for ${names.join(', ')}: waits on this machine until the broker is back, at most 24 h  (${id})`
      : `${waited} for ${names.join(', ')}${gone.length ? `; gone: ${gone.join(', ')}` : ''}  (${id})`,
  }
}
