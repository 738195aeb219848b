import { setTimeout as wait } from 'node:timers/promises'
import type { Context } from '../context.ts'
import type { MeshEntry } from '../home/config.ts'
import { withMesh } from './connect.ts'

const patience = 3000

/** `2 peers online`, or that the broker does not answer: in a few words, after three seconds at most. Never throws. */
export async function onlineIn(context: Context, entry: MeshEntry): Promise<string> {
  const cancel = new AbortController()
  const persona = { name: entry.name, groups: [] }
  const count = withMesh(context, entry, persona, (mesh) => Promise.resolve(mesh.peers().filter((peer) => peer.connected).length))
  const late = wait(patience, undefined, { signal: cancel.signal })
  try {
    const peers = await Promise.race([count, late])
    if (peers === undefined) return away
    return `${peers} ${peers === 1 ? 'peer' : 'peers'} online`
  } catch {
    return away
  } finally {
    cancel.abort()
    late.catch(() => {})
    count.catch(() => {})
  }
}

const away = 'broker unreachable; messages wait'
