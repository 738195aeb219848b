import { and, eq, sql } from 'drizzle-orm'
import { verifyPolicy } from '@claudemesh/crypto'
import type { MeshId, SessionPubkey } from '@claudemesh/protocol'
import { linger } from './lifecycle.ts'
import { Mesh } from './mesh.ts'
import { Presence } from './presence.ts'
import type { Kernel } from './kernel.ts'
import * as tables from './tables.ts'

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

  /** Lets go of meshes in which nobody is. */
  sweep(): void {
    for (const mesh of this.#loaded.values()) if (mesh.presences.size === 0 && mesh.greeting === 0) this.#loaded.delete(mesh.id)
  }
}

async function load(kernel: Kernel, id: MeshId): Promise<Mesh | undefined> {
  const { db, startedAt } = kernel
  const [row] = await db.select().from(tables.mesh).where(eq(tables.mesh.id, id))
  if (!row) return undefined
  const policy = { token: row.policy, body: verifyPolicy(row.policy, { mesh: id, root: row.rootPubkey }) }
  const mesh = new Mesh({ id, root: row.rootPubkey, slug: row.slug, policy }, kernel.turn)
  const lives = await db
    .select()
    .from(tables.presence)
    .where(and(eq(tables.presence.meshId, id), eq(tables.presence.live, true)))
  for (const p of lives) {
    const presence = new Presence({ ...p, key: p.sessionPubkey, signed: { token: p.presence, seq: p.seq, groups: p.groups } })
    presence.status = p.status
    presence.queued = await queueOf(kernel, id, p.sessionPubkey)
    mesh.put(presence)
    // Those who were connected when the broker went down had no chance to come back before it started.
    linger(kernel, mesh, presence, Math.max(p.disconnectedAt ?? 0, startedAt))
  }
  return mesh
}

/** What the durable queue holds for a session. */
export async function queueOf(kernel: Kernel, mesh: MeshId, session: SessionPubkey): Promise<{ count: number; bytes: number }> {
  const { delivery } = tables
  const [row] = await kernel.db
    .select({ count: sql<number>`count(*)::int`, bytes: sql<number>`coalesce(sum(${delivery.sizeBytes}), 0)::float8` })
    .from(delivery)
    .where(and(eq(delivery.meshId, mesh), eq(delivery.recipientPubkey, session), tables.inQueue))
  return row ?? { count: 0, bytes: 0 }
}
