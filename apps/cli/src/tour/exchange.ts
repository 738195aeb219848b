import type { Mesh, ReceivedMessage } from '@claudemesh/client'
import type { Context } from '../context.ts'
import type { MeshEntry } from '../home/config.ts'
import { connectMesh } from '../session/connect.ts'
import { watchedDial, type SentFrame } from './watched-dial.ts'

/** One message as each of the three parties sees it. */
export interface Leg {
  readonly kind: 'direct' | 'group' | 'broadcast'
  readonly sender: { readonly name: string; readonly to: string; readonly text: string; readonly recipients: readonly string[] }
  /** The frame that the broker got, byte for byte. */
  readonly broker: SentFrame
  readonly recipient: {
    readonly name: string
    readonly from: string
    readonly fingerprint: string
    readonly to: string
    readonly text: string
    readonly verified: boolean
  }
}

const script = [
  { kind: 'direct', from: 'alice', to: 'Bob', text: 'Can you review the login page?' },
  { kind: 'group', from: 'alice', to: '@frontend', text: 'The useAuth hook has changed: see src/auth.' },
  { kind: 'broadcast', from: 'bob', to: '*', text: 'Reviewed and merged.' },
] as const

/** Alice and Bob, two sessions of this membership, say their lines; each leg is given out when it has arrived. */
export async function* exchange(context: Context, entry: MeshEntry): AsyncGenerator<Leg> {
  const frames: SentFrame[] = []
  const dial = watchedDial((frame) => frames.push(frame))
  const alice = await connectMesh(context, entry, { name: 'Alice', groups: [] }, { dial })
  try {
    const known = new Promise<void>((resolve) => alice.on('peer', () => alice.peers().some((peer) => peer.name === 'Bob') && resolve()))
    const bob = await connectMesh(context, entry, { name: 'Bob', groups: [{ name: 'frontend', role: 'lead' }] }, { dial })
    try {
      await known
      for (const line of script) {
        const [sender, receiver] = line.from === 'alice' ? [alice, bob] : [bob, alice]
        const arrived = nextMessage(receiver)
        const sent = await sender.send({ to: line.to, message: line.text })
        const message = await arrived
        const frame = frames.find((candidate) => candidate.nonce !== undefined)
        frames.length = 0
        if (!frame) throw new Error('the sent frame was not seen')
        yield {
          kind: line.kind,
          sender: { name: sender.me.name, to: line.to, text: line.text, recipients: sent.recipients.map((peer) => peer.name) },
          broker: frame,
          recipient: {
            name: receiver.me.name,
            from: message.from.name,
            fingerprint: message.from.fingerprint,
            to: message.to,
            text: message.text,
            verified: message.verified,
          },
        }
      }
    } finally {
      await bob.close({ bye: true })
    }
  } finally {
    await alice.close({ bye: true })
  }
}

function nextMessage(mesh: Mesh): Promise<ReceivedMessage> {
  return new Promise((resolve) => {
    const off = mesh.on('message', (message) => {
      off()
      mesh.inbox.remove([message.id])
      resolve(message)
    })
  })
}
