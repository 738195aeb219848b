import type { Mesh, ReceivedMessage } from '@claudemesh/client'
import type { Context } from '../context.ts'
import { loadConfig } from '../home/config.ts'
import { pickMesh } from '../home/meshes.ts'
import { parsePersona } from '../launch/persona.ts'
import { plainText, type Output } from '../output.ts'
import { connectMesh } from '../session/connect.ts'
import { untilClosed } from '../session/until-closed.ts'
import { StopSignal } from '../until-stopped.ts'

export interface InboxFlags {
  readonly mesh?: string
  readonly follow?: boolean
  readonly name?: string
  readonly role?: string
  readonly groups?: string
}

/** A shell peer: prints the first messages that come, or with `--follow` all until Ctrl-C. Sessions are ephemeral: messages start with this one, but mail for the member that no session showed yet comes first. */
export async function inbox(context: Context, output: Output, flags: InboxFlags): Promise<void> {
  const entry = pickMesh(loadConfig(context.home), flags.mesh)
  const persona = parsePersona(flags, entry.name)
  const mesh = await connectMesh(context, entry, persona, { showsMail: true })
  try {
    output.note(`listening in ${entry.slug} as ${persona.name} (${mesh.me.fingerprint})`)
    const off = mesh.on('refused', (refused) => output.note(refused.notice))
    using stop = new StopSignal()
    await Promise.race([untilClosed(mesh, output), stop.stopped, shown(mesh, output, flags.follow === true)])
    off()
  } finally {
    await mesh.close({ bye: true })
  }
}

/** Shows what comes; ends after the first messages unless it follows. */
function shown(mesh: Mesh, output: Output, follow: boolean): Promise<void> {
  return new Promise((resolve, reject) => {
    const show = () => void print(mesh, output).then((any) => any && !follow && resolve(), reject)
    mesh.on('message', show)
    show()
  })
}

/** What nobody reads, because the reader of a pipe has gone, does not count as shown. */
async function print(mesh: Mesh, output: Output): Promise<boolean> {
  const messages = mesh.inbox.drain()
  for (const message of messages) {
    await output.taken({ json: message, text: lines(output, message) })
    mesh.surfaced([message])
  }
  return messages.length > 0
}

function lines(output: Output, message: ReceivedMessage): string[] {
  const { name, member, fingerprint } = message.from
  const from = `${name} (${member ? `${member.name}, ` : ''}${fingerprint}) → ${plainText(message.to)}`
  return [
    output.style('cyan', from) + (message.durable ? '  durable' : '') + (message.verified ? '' : '  UNVERIFIED'),
    ...plainText(message.text)
      .split('\n')
      .map((line) => `  ${line}`),
    ...(message.files ?? []).map(({ id, name, size }) => `  file ${plainText(name)}, ${size} bytes: ${id}`),
  ]
}
