import { createInterface } from 'node:readline'
import { text as readAll } from 'node:stream/consumers'
import type { SendResult } from '@claudemesh/client'
import type { Priority, Rung } from '@claudemesh/protocol'
import type { Context } from '../context.ts'
import { Failure } from '../failure.ts'
import { loadConfig } from '../home/config.ts'
import { pickMesh } from '../home/meshes.ts'
import { parsePersona } from '../launch/persona.ts'
import type { Output, Result } from '../output.ts'
import { withMesh } from '../session/connect.ts'
import { DeliveryWatch, type WaitedFor } from '../session/delivery-watch.ts'

export interface SendFlags {
  readonly mesh?: string
  readonly lines?: boolean
  readonly name?: string
  readonly priority?: Priority
  readonly wait: 'stored' | WaitedFor
}

/** Sends one message, or with `--lines` one per line of stdin, as a session of its own; returns when all of it stands on the rung waited for. */
export async function send(context: Context, output: Output, to: readonly string[], text: string, flags: SendFlags): Promise<void> {
  if (flags.lines && text !== '-') throw new Failure('usage', '--lines reads stdin: put - in place of the text')
  const entry = pickMesh(loadConfig(context.home), flags.mesh)
  await withMesh(context, entry, parsePersona(flags, entry.name), async (mesh) => {
    using watch = new DeliveryWatch(mesh)
    for await (const message of messages(context, text, flags.lines === true)) {
      const sent = await mesh.send({ to, message, ...(flags.priority ? { priority: flags.priority } : {}) })
      const recipients = sent.recipients.map((recipient) => recipient.session)
      if (flags.wait !== 'stored') await watch.until(flags.wait, sent.id, recipients, mesh)
      output.result(resultOf(sent, flags.wait))
    }
  })
}

async function* messages(context: Context, text: string, lines: boolean): AsyncGenerator<string> {
  if (text !== '-') yield text
  else if (!lines) yield (await readAll(context.stdin)).replace(/\n$/, '')
  else for await (const line of createInterface({ input: context.stdin, crlfDelay: Infinity })) if (line !== '') yield line
}

function resultOf(sent: SendResult, rung: Rung): Result {
  const names = sent.recipients.map((recipient) => recipient.name)
  const gone = sent.gone.map((recipient) => recipient.name)
  return {
    json: { id: sent.id, recipients: sent.recipients, queued: sent.queued, gone: sent.gone, rung },
    text: `${rung} for ${names.join(', ')}${gone.length ? `; gone: ${gone.join(', ')}` : ''}  (${sent.id})`,
  }
}
