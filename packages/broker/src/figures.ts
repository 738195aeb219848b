import type { Kernel } from './kernel.ts'
import type { Figures } from './meter.ts'

/** What a broker holds; linear in the sessions of the meshes in memory. */
export function figuresOf(kernel: Kernel, { connections, greeting, outbox }: { connections: number; greeting: number; outbox: number }): Figures {
  const { writer, nodes, load, clock } = kernel
  const { messages, oldest, fileBytes } = kernel.census.counted
  const { entries, bytes, since } = writer.waiting
  const held = { meshes: 0, presences: 0, count: 0, bytes: 0 }
  for (const mesh of kernel.meshes.all()) {
    held.meshes++
    for (const { queued } of mesh.presences.values()) {
      held.presences++
      held.count += queued.count
      held.bytes += queued.bytes
    }
  }
  return {
    sessions: connections - greeting,
    greeting,
    meshes: held.meshes,
    presences: held.presences,
    queued_messages: held.count,
    queued_bytes: held.bytes,
    writer_entries: entries,
    writer_bytes: bytes,
    writer_age_seconds: since === undefined ? 0 : Math.max(0, clock.now() - since) / 1000,
    stored_messages: messages,
    stored_age_seconds: oldest === undefined ? 0 : Math.max(0, clock.now() - oldest) / 1000,
    blob_stored_bytes: fileBytes,
    outbox_bytes: outbox,
    admitted_share: load.share(kernel.clock.now()),
    bus_up: nodes.up ? 1 : 0,
    bus_doubts: nodes.doubts,
  }
}
