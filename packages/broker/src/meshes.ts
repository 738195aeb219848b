import { and, eq } from 'drizzle-orm'
import { verifyPolicy } from '@claudemesh/crypto'
import type { MeshId } from '@claudemesh/protocol'
import { takeForMesh } from './arrivals.ts'
import { Mesh } from './mesh.ts'
import { endRevoked } from './policy.ts'
import { queuesOf } from './queues.ts'
import { reconcile } from './reconcile.ts'
import { placeOf, take, toldBy } from './roster.ts'
import type { Kernel } from './kernel.ts'
import * as tables from './tables.ts'
import { causeOf } from './cause.ts'

/** The meshes in memory; one is loaded when somebody greets it. */
export class Meshes {
  readonly #loaded = new Map<MeshId, Mesh>()
  readonly #loading = new Map<MeshId, Promise<Mesh | undefined>>()

  /** The mesh if it is in memory. */
  peek(id: MeshId): Mesh | undefined {
    return this.#loaded.get(id)
  }

  all(): Iterable<Mesh> {
    return this.#loaded.values()
  }

  /** The mesh, loaded if need be; undefined when this broker does not serve it. */
  async get(kernel: Kernel, id: MeshId): Promise<Mesh | undefined> {
    const known = this.#loaded.get(id)
    if (known) return known
    let loading = this.#loading.get(id)
    if (!loading) {
      loading = load(kernel, id).finally(() => this.#loading.delete(id))
      this.#loading.set(id, loading)
    }
    const mesh = await loading
    if (mesh) this.#loaded.set(id, this.#loaded.get(id) ?? mesh)
    return this.#loaded.get(id)
  }

  /** Lets go of meshes in which nobody is: nobody at all when this node is alone, else nobody who is connected here. */
  sweep(alone: boolean): void {
    for (const mesh of this.#loaded.values()) {
      if (mesh.greeting > 0 || (alone ? mesh.presences.size > 0 : mesh.hosting)) continue
      this.#loaded.delete(mesh.id)
      mesh.close()
    }
  }
}

async function load(kernel: Kernel, id: MeshId): Promise<Mesh | undefined> {
  const { nodes } = kernel
  const early: (() => void)[] = []
  let mesh: Mesh | undefined
  // Heard from before the reading on, so that nothing falls between the two.
  const leave = await nodes.hearMesh(id, {
    take: (parcel, from) => (mesh ? takeForMesh(kernel, mesh, parcel, from) : void early.push(() => mesh && takeForMesh(kernel, mesh, parcel, from))),
    missed: () => {
      if (!mesh) return
      reconcile(kernel, mesh).catch((error: unknown) => kernel.log('error', 'store_failed', { what: 'reconcile', cause: causeOf(error) }))
    },
  })
  try {
    mesh = await read(kernel, id)
  } finally {
    if (!mesh) leave()
  }
  if (!mesh) return undefined
  mesh.leave = leave
  for (const take of early) take()
  return mesh
}

async function read(kernel: Kernel, id: MeshId): Promise<Mesh | undefined> {
  const [row] = await kernel.db.select().from(tables.mesh).where(eq(tables.mesh.id, id))
  if (!row) return undefined
  const policy = { token: row.policy, body: verifyPolicy(row.policy, { mesh: id, root: row.rootPubkey }) }
  const mesh = new Mesh({ id, root: row.rootPubkey, slug: row.slug, policy }, kernel)
  try {
    await readRoster(kernel, mesh)
    await endRevoked(kernel, mesh)
    return mesh
  } catch (error) {
    mesh.close()
    throw error
  }
}

async function readRoster(kernel: Kernel, mesh: Mesh): Promise<void> {
  const lives = await kernel.db
    .select()
    .from(tables.presence)
    .where(and(eq(tables.presence.meshId, mesh.id), eq(tables.presence.live, true)))
  const queues = await queuesOf(
    kernel.db,
    mesh.id,
    lives.map((p) => p.sessionPubkey),
  )
  for (const row of lives) {
    take(kernel, mesh, toldBy(row), placeOf(kernel, row))
    const presence = mesh.presences.get(row.sessionPubkey)
    if (presence) presence.queued = queues.get(row.sessionPubkey) ?? { count: 0, bytes: 0 }
  }
}
