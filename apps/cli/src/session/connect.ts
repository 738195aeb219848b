import { randomBytes, randomUUID } from 'node:crypto'
import { Mesh, type ConnectOptions } from '@claudemesh/client'
import { nodeDial, nodeRandom } from '@claudemesh/client/node'
import { ready, sessionKey } from '@claudemesh/crypto'
import type { Context } from '../context.ts'
import type { MeshEntry } from '../home/config.ts'
import { policyPin } from '../home/policy-pin.ts'
import type { Persona } from '../launch/persona.ts'
import { identityOf } from './identity.ts'

type Extras = Partial<Pick<ConnectOptions, 'session' | 'persist' | 'log' | 'dial' | 'shown'>>

/** A session of this membership, with a key of its own unless `extras.session` brings one. */
export async function connectMesh(
  context: Pick<Context, 'home' | 'clock'>,
  entry: MeshEntry,
  persona: Persona & { readonly summary?: string },
  extras: Extras = {},
): Promise<Mesh> {
  const identity = await identityOf(entry)
  return Mesh.connect({
    url: entry.url,
    identity,
    session: await freshSession(),
    ...persona,
    clock: context.clock,
    dial: nodeDial,
    random: nodeRandom,
    policyPin: policyPin(context.home, entry.mesh),
    ...extras,
  })
}

/** A session key that no other process will ever have. */
async function freshSession(): Promise<ConnectOptions['session']> {
  await ready()
  return { key: sessionKey(randomBytes(32)), incarnation: 1, id: randomUUID() }
}

/** Runs `task` in a session that lives as long as it, and whose key is destroyed after it. */
export async function withMesh<T>(context: Context, entry: MeshEntry, persona: Persona, task: (mesh: Mesh) => Promise<T>): Promise<T> {
  const mesh = await connectMesh(context, entry, persona)
  try {
    return await task(mesh)
  } finally {
    await mesh.close({ bye: true })
  }
}
