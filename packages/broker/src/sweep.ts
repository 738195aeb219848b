import { and, eq, lt, not, sql } from 'drizzle-orm'
import { closeCodes, MeshError, times } from '@claudemesh/protocol'
import { asked } from './asked.ts'
import { forgetFiles, sweepFiles } from './file-sweep.ts'
import type { Kernel } from './kernel.ts'
import { sweepKeyboxes } from './keyboxes.ts'
import { end, tell } from './lifecycle.ts'
import { refresh } from './policy.ts'
import { rows } from './sql.ts'
import { sweepSignedRequests } from './signed-requests.ts'
import { removeTombstones } from './state-rows.ts'
import * as tables from './tables.ts'
import { sweepWriters } from './writers.ts'
import { settledColumns, type Settled } from './statements.ts'
import { causeOf } from './cause.ts'

const every = 60_000
const storeEvery = 60 * every

/** What outlived its time fails or is removed, again and again. The function given back ends it and waits for a run under way. */
export function startSweep(kernel: Kernel): () => Promise<void> {
  let cancel = () => {}
  let running: Promise<void> | undefined
  let storeSwept = -Infinity
  const run = (work: () => Promise<void>) => {
    running = asked(kernel, 'sweep', work)
      .catch((error: unknown) => kernel.log('error', 'sweep_failed', { cause: causeOf(error) }))
      .finally(() => (running = undefined))
  }
  const schedule = () => {
    cancel = kernel.clock.after(every, () => {
      schedule()
      if (running) return
      const now = kernel.clock.now()
      const whole = now - storeSwept >= storeEvery
      if (whole) storeSwept = now
      run(async () => {
        await sweep(kernel, now, whole)
        await count(kernel)
      })
    })
  }
  schedule()
  run(() => count(kernel))
  return async () => {
    cancel()
    await running
  }
}

/** For metrics that somebody may read. */
async function count(kernel: Kernel): Promise<void> {
  if (kernel.metrics) await kernel.census.count(kernel)
}

/** The store is swept only now and then, as a `whole` run. */
async function sweep(kernel: Kernel, now: number, whole: boolean): Promise<void> {
  endExpiredSessions(kernel, now)
  for (const mesh of kernel.meshes.all()) if (mesh.policyInDoubt) await refresh(kernel, mesh)
  await sweepFiles(kernel, now)
  if (whole) {
    const failed = [...(await failForgotten(kernel, now)), ...(await failOld(kernel, now))]
    kernel.meter.count('swept', 'deliveries', failed.length)
    tell(kernel, failed)
    await removeOld(kernel, now)
    await sweepKeyboxes(kernel.db, now - times.pendingKeyboxes, now)
    await removeTombstones(kernel.db, now - times.tombstoneLife)
    await forgetFiles(kernel, now)
    await sweepSignedRequests(kernel.db, now)
    kernel.meter.count('swept', 'writers', await sweepWriters(kernel.db, now))
  }
  kernel.limiter.sweep(kernel.meshes.all(), now)
  kernel.meshes.sweep(kernel.nodes.bus === undefined)
}

function endExpiredSessions(kernel: Kernel, now: number): void {
  for (const mesh of kernel.meshes.all()) {
    for (const presence of mesh.presences.values()) {
      // The node that holds a session ends it.
      if (now <= presence.expiresAt + times.skew || presence.elsewhere !== undefined) continue
      const link = presence.link
      link?.feed.close()
      end(kernel, mesh, presence, 'left', 'expired')
      link?.session.refuse(new MeshError('bad_chain', 'the session certificate has expired; connect again with a new one'), closeCodes.unauthorized)
    }
  }
}

/** The queues of sessions whose certificate has ended while nobody was connected. */
function failForgotten(kernel: Kernel, now: number): Promise<Settled[]> {
  return rows<Settled>(
    kernel.db,
    sql`update mesh.delivery d set rung = 'failed', reason = 'expired', at = ${now}::bigint
      from mesh.presence p where p.expires_at < ${now - times.skew}::bigint
        and d.mesh_id = p.mesh_id and d.recipient_pubkey = p.session_pubkey and not d.mail and d.rung in ('stored', 'received')
      returning ${settledColumns}`,
  )
}

/** Messages older than a message may be. */
function failOld(kernel: Kernel, now: number): Promise<Settled[]> {
  return rows<Settled>(
    kernel.db,
    sql`update mesh.delivery d set rung = 'failed', reason = 'expired', at = ${now}::bigint
      from mesh.message m where m.created_at < ${now - times.messageLife}::bigint
        and d.mesh_id = m.mesh_id and d.message_id = m.id and d.rung in ('stored', 'received')
      returning ${settledColumns}`,
  )
}

/** Bodies go after a message's life; what became of it can be asked for as long again. */
async function removeOld({ db }: Kernel, now: number): Promise<void> {
  const { message, delivery, presence } = tables
  await db
    .update(message)
    .set({ ciphertext: '' })
    .where(and(lt(message.createdAt, now - times.messageLife), sql`${message.ciphertext} <> ''`))
  await db.delete(message).where(lt(message.createdAt, now - 2 * times.messageLife))
  await db.delete(delivery).where(and(lt(delivery.at, now - 2 * times.messageLife), not(tables.inQueue)))
  await db.delete(presence).where(and(eq(presence.live, false), lt(presence.expiresAt, now - 2 * times.messageLife)))
}
