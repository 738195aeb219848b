import type { Mesh, MeshEvents } from '@claudemesh/client'

type Name = keyof MeshEvents

interface Waiter {
  readonly wanted: (body: never) => boolean
  readonly resolve: (body: never) => void
}

const names: Name[] = ['message', 'refused', 'peer', 'delivery', 'gap', 'connection', 'me', 'policy', 'surfaced', 'outbox', 'state', 'stateRefused']
const recorders = new WeakMap<Mesh, Map<Name, { seen: unknown[]; waiters: Waiter[] }>>()

/** Keeps every event of a mesh from now on, so that `next` misses none. */
export function record(mesh: Mesh): void {
  const lanes = new Map(names.map((name) => [name, { seen: [] as unknown[], waiters: [] as Waiter[] }]))
  recorders.set(mesh, lanes)
  for (const [name, lane] of lanes) {
    mesh.on(name, (body) => {
      const waiting = lane.waiters.findIndex(({ wanted }) => wanted(body as never))
      if (waiting < 0) lane.seen.push(body)
      else lane.waiters.splice(waiting, 1)[0]?.resolve(body as never)
    })
  }
}

/** The next event of this name that nobody asked for yet and that `wanted` accepts; waits for it if need be. */
export function next<K extends Name>(mesh: Mesh, name: K, wanted: (body: MeshEvents[K]) => boolean = () => true): Promise<MeshEvents[K]> {
  const lane = recorders.get(mesh)?.get(name)
  if (!lane) throw new Error('this mesh is not recorded')
  const index = lane.seen.findIndex((body) => wanted(body as MeshEvents[K]))
  if (index >= 0) return Promise.resolve(lane.seen.splice(index, 1)[0] as MeshEvents[K])
  return new Promise((resolve) => lane.waiters.push({ wanted, resolve }))
}

/** All events of this name that nobody asked for yet. */
export function seen<K extends Name>(mesh: Mesh, name: K): MeshEvents[K][] {
  return (recorders.get(mesh)?.get(name)?.seen ?? []) as MeshEvents[K][]
}

/** Settles at the next event of this name, which stays there for `next`. */
export function change(mesh: Mesh, name: Name): Promise<void> {
  return new Promise((resolve) => {
    const off = mesh.on(name, () => {
      off()
      resolve()
    })
  })
}
