import type { Mesh, ReceivedMessage } from '@claudemesh/client'
import type { Context } from '../context.ts'
import { loadConfig } from '../home/config.ts'
import { pickMesh } from '../home/meshes.ts'
import { parsePersona } from '../launch/persona.ts'
import { plainText, type Output } from '../output.ts'
import { connectMesh } from '../session/connect.ts'
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
    await Promise.race([flags.follow ? follow(mesh, output) : once(mesh, output), stop.stopped])
    off()
  } finally {
    await mesh.close({ bye: true })
  }
}

/** Ends only when the session is closed against our will. */
function follow(mesh: Mesh, output: Output): Promise<never> {
  return new Promise((_resolve, reject) => {
    mesh.on('message', () => print(mesh, output))
    mesh.on('connection', (state) => {
      if (state.phase === 'closed') reject(state.reason)
      else if (state.phase === 'waiting') output.note(`connection lost (${state.cause.message}); trying again`)
    })
    print(mesh, output)
  })
}

function once(mesh: Mesh, output: Output): Promise<void> {
  return new Promise((resolve) => {
    const show = () => {
      if (print(mesh, output) > 0) resolve()
    }
    mesh.on('message', show)
    show()
  })
}

function print(mesh: Mesh, output: Output): number {
  const messages = mesh.inbox.drain()
  for (const message of messages) output.result({ json: message, text: lines(output, message) })
  mesh.surfaced(messages)
  return messages.length
}

function lines(output: Output, message: ReceivedMessage): string[] {
  const { name, member, fingerprint } = message.from
  const from = `${name} (${member ? `${member.name}, ` : ''}${fingerprint}) → ${plainText(message.to)}`
  return [
    output.style('cyan', from) + (message.durable ? '  durable' : '') + (message.verified ? '' : '  UNVERIFIED'),
    ...plainText(message.text)
      .split('\n')
      .map((line) => `  ${line}`),
  ]
}
