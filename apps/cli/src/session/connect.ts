import { randomBytes, randomUUID } from 'node:crypto'
import { homedir } from 'node:os'
import { Mesh, type ConnectOptions } from '@claudemesh/client'
import { LocalFiles, nodeDial, nodeRandom, nodeTransfer } from '@claudemesh/client/node'
import { ready, sessionKey } from '@claudemesh/crypto'
import type { Context } from '../context.ts'
import type { MeshEntry } from '../home/config.ts'
import { memoryCache } from '../home/memory-cache.ts'
import { MeshError } from '@claudemesh/protocol'
import { mailSeen } from '../home/mail-seen.ts'
import { memberCache } from '../home/member-cache.ts'
import { openOutbox } from '../home/outbox.ts'
import { policyPin } from '../home/policy-pin.ts'
import { statePin } from '../home/state-pin.ts'
import type { Persona } from '../launch/persona.ts'
import { explainAway } from './away.ts'
import { identityOf } from './identity.ts'

/** A persona, and what an earlier server of the session had made of it. */
type Lasting = Persona & { readonly summary?: string }

type Extras = Partial<Pick<ConnectOptions, 'session' | 'persist' | 'log' | 'dial' | 'shown' | 'attached'>> & { readonly showsMail?: boolean }

/** A session of this membership, with a key of its own unless `extras.session` brings one. */
export async function connectMesh(context: Pick<Context, 'home' | 'clock'>, entry: MeshEntry, persona: Lasting, extras: Extras = {}): Promise<Mesh> {
  return Mesh.connect(await optionsOf(context, entry, persona, extras)).catch(explainAway(entry))
}

/** A session that only seals: what it sends waits in the outbox. */
async function offlineMesh(context: Context, entry: MeshEntry, persona: Lasting): Promise<Mesh> {
  return Mesh.offline(await optionsOf(context, entry, persona, {}))
}

async function optionsOf({ home, clock }: Pick<Context, 'home' | 'clock'>, entry: MeshEntry, persona: Lasting, { showsMail, ...extras }: Extras) {
  const identity = await identityOf(entry)
  const now = () => clock.now()
  return {
    url: entry.url,
    identity,
    session: await freshSession(),
    ...persona,
    clock,
    dial: nodeDial,
    random: nodeRandom,
    transfer: nodeTransfer,
    policyPin: policyPin(home, entry.mesh),
    statePin: statePin(home, entry.mesh),
    memoryCache: memoryCache(home, entry.mesh),
    memberCache: memberCache(home, entry.mesh),
    outbox: openOutbox({ home, mesh: entry.mesh, now, notice: (text) => extras.log?.('warn', text) }),
    ...(showsMail ? { mailSeen: mailSeen(home, entry.mesh, now) } : {}),
    ...extras,
  }
}

/** The files of this machine, as sessions of this user may share and save them. */
export const localFilesOf = ({ cwd, home }: Pick<Context, 'cwd' | 'home'>): LocalFiles => new LocalFiles({ cwd, home: homedir(), own: [home] })

/** A session key that no other process will ever have. */
async function freshSession(): Promise<ConnectOptions['session']> {
  await ready()
  return { key: sessionKey(randomBytes(32)), incarnation: 1, id: randomUUID() }
}

/** Runs `task` in a session that lives as long as it, and whose key is destroyed after it. What waits in the outbox goes out with it. */
export async function withMesh<T>(context: Context, entry: MeshEntry, persona: Persona, task: (mesh: Mesh) => Promise<T>): Promise<T> {
  return during(await connectMesh(context, entry, persona), task)
}

/** The same, where a broker that is away is no reason to stop: then the session seals what it sends for the outbox. */
export async function withOrWithoutBroker<T>(context: Context, entry: MeshEntry, persona: Persona, task: (mesh: Mesh) => Promise<T>): Promise<T> {
  const mesh = await connectMesh(context, entry, persona).catch((error: unknown) => {
    if (error instanceof MeshError && error.retry === 'reconnect') return offlineMesh(context, entry, persona)
    throw error
  })
  return during(mesh, task)
}

async function during<T>(mesh: Mesh, task: (mesh: Mesh) => Promise<T>): Promise<T> {
  try {
    const result = await task(mesh)
    await mesh.flushed()
    return result
  } finally {
    await mesh.close({ bye: true })
  }
}
