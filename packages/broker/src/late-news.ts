import { sql } from 'drizzle-orm'
import type { MeshId } from '@claudemesh/protocol'
import { changeOfState, memoryChange, stateChange } from './changes.ts'
import type { Kernel } from './kernel.ts'
import type { Mesh } from './mesh.ts'
import { column, rows } from './sql.ts'
import { readState } from './state-rows.ts'

// What another node tells of a change may be on its way for so long before it counts as lost.
const grace = 1_000
// Clocks of nodes may differ, and a write may be under way, by so much.
const margin = 60_000

/** Tells the sessions connected here what changed in the store and was never told by the node that wrote it. To be called again and again while there are others. */
export class LateNews {
  readonly #kernel: Kernel
  /** When a look was last whole. */
  #looked: number

  constructor(kernel: Kernel) {
    this.#kernel = kernel
    this.#looked = kernel.clock.now()
  }

  async look(): Promise<void> {
    const { meshes, clock } = this.#kernel
    const now = clock.now()
    const ids = [...meshes.all()].filter((mesh) => mesh.hosting).map((mesh) => mesh.id)
    if (ids.length > 0) {
      await this.#lookForState(ids, now)
      await this.#lookForMemories(ids)
    }
    this.#looked = now
  }

  async #lookForState(ids: readonly MeshId[], now: number): Promise<void> {
    const { db, meshes } = this.#kernel
    const found = await rows<{ mesh_id: MeshId; id: string; version: number; at: number }>(
      db,
      sql`select s.mesh_id, s.id, s.version, s.updated_at::float8 as at from unnest(${column(ids)}) as here(id)
        join mesh.state s on s.mesh_id = here.id and s.updated_at between ${this.#looked - margin}::bigint and ${now - grace}::bigint order by s.updated_at`,
    )
    for (const { mesh_id, id, version, at } of found) {
      const mesh = meshes.peek(mesh_id)
      if (mesh && at >= mesh.since && !mesh.told.knows(changeOfState({ id, version }))) await this.#tellState(mesh, id)
    }
  }

  async #tellState(mesh: Mesh, id: string): Promise<void> {
    const row = await readState(this.#kernel.db, mesh.id, id)
    if (!row) return
    const change = stateChange(row)
    // The writing node may have been heard while the row was read.
    if (mesh.told.knows(change)) return
    mesh.told.note(change)
    if ((row.key === undefined) === (mesh.policy.body.allow.state === 'sealed')) mesh.write(change.frame, row.updatedByPresence)
    this.#kernel.meter.count('told_late', 'state')
  }

  async #lookForMemories(ids: readonly MeshId[]): Promise<void> {
    const { db, meshes, meter } = this.#kernel
    const heads = await rows<{ mesh_id: MeshId; seq: number }>(
      db,
      sql`select m.mesh_id, m.seq::float8 as seq from unnest(${column(ids)}) as here(id) join mesh.memory_head m on m.mesh_id = here.id`,
    )
    for (const { mesh_id, seq } of heads) {
      const mesh = meshes.peek(mesh_id)
      const change = memoryChange(seq)
      if (!mesh || mesh.told.knows(change)) continue
      mesh.told.note(change)
      mesh.write(change.frame)
      meter.count('told_late', 'memory')
    }
  }
}
