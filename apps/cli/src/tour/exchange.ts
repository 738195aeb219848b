import type { Tapped } from '@claudemesh/broker'
import type { Mesh, ReceivedMessage } from '@claudemesh/client'
import type { Context } from '../context.ts'
import type { MeshEntry } from '../home/config.ts'
import { connectMesh } from '../session/connect.ts'

/** One message as each of the three parties sees it. */
export interface Leg {
  readonly kind: 'direct' | 'group' | 'broadcast'
  readonly sender: { readonly name: string; readonly to: string; readonly text: string; readonly recipients: readonly string[] }
  /** What the broker has of it. */
  readonly broker: Tapped
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

/** Alice and Bob, two sessions of this membership, say their lines; each leg is given out when it has arrived. `tap` is fed by the broker between. */
export async function* exchange(context: Pick<Context, 'home' | 'clock'>, entry: MeshEntry, tap: Tap): AsyncGenerator<Leg> {
  const alice = await connectMesh(context, entry, { name: 'Alice', groups: [] })
  try {
    const met = meeting(alice, 'Bob')
    const bob = await connectMesh(context, entry, { name: 'Bob', groups: [{ name: 'frontend', role: 'lead' }] })
    try {
      await met
      for (const line of script) yield await carry(line, line.from === 'alice' ? [alice, bob] : [bob, alice], tap)
    } finally {
      await bob.close({ bye: true })
    }
  } finally {
    await alice.close({ bye: true })
  }
}

/** The newest envelope that the broker took. */
export interface Tap {
  newest?: Tapped
}

async function carry(line: (typeof script)[number], [sender, receiver]: readonly [Mesh, Mesh], tap: Tap): Promise<Leg> {
  const arrival = nextMessage(receiver)
  const sent = await sender.send({ to: line.to, message: line.text })
  const { from, to, text, verified } = await arrival
  if (!tap.newest) throw new Error('the broker delivered a message that it did not take')
  return {
    kind: line.kind,
    sender: { name: sender.me.name, to: line.to, text: line.text, recipients: sent.recipients.map((peer) => peer.name) },
    broker: tap.newest,
    recipient: { name: receiver.me.name, from: from.name, fingerprint: from.fingerprint, to, text, verified },
  }
}

function meeting(mesh: Mesh, name: string): Promise<void> {
  return new Promise((resolve) => mesh.on('peer', () => mesh.peers().some((peer) => peer.name === name) && resolve()))
}

function nextMessage(mesh: Mesh): Promise<ReceivedMessage> {
  return new Promise((resolve) => {
    const off = mesh.on('message', (message) => {
      off()
      mesh.surfaced([message])
      resolve(message)
    })
  })
}
