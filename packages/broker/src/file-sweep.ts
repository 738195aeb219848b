import { and, eq, isNotNull, isNull, lt, sql } from 'drizzle-orm'
import { MeshError, times } from '@claudemesh/protocol'
import { placeOf, type FileRow } from './files.ts'
import type { Kernel } from './kernel.ts'
import { file } from './tables.ts'

const perRun = 1000

/** Deletes what expired, attachments that all recipients have read, and uploads that were given up. */
export async function sweepFiles(kernel: Kernel, now: number): Promise<void> {
  const { db, transfers } = kernel
  const due = await db
    .select()
    .from(file)
    .where(and(isNull(file.deletedAt), sql`(${file.expiresAt} < ${now} or (not ${file.persistent} and ${file.finishedAt} is not null and ${readByAll}))`))
    .limit(perRun)
  for (const row of due) {
    if (transfers.isMoving(row.meshId, row.id)) continue
    await db
      .update(file)
      .set({ deletedAt: now })
      .where(and(eq(file.meshId, row.meshId), eq(file.id, row.id)))
  }
  await removeObjects(
    kernel,
    await db
      .select()
      .from(file)
      .where(and(isNotNull(file.deletedAt), isNull(file.removedAt)))
      .limit(perRun),
  )
}

/** Who read a file can be asked for as long as what became of a message. */
export async function forgetFiles({ db, blob }: Kernel, now: number): Promise<void> {
  await db.delete(file).where(and(lt(file.deletedAt, now - times.messageLife), isNotNull(file.removedAt)))
  await blob?.sweep(now - times.attachmentLife - times.uploadLife)
}

/** Removes the objects of deleted files; one that the storage does not let go now is tried again by the sweep. */
export async function removeObjects({ db, blob, clock, log }: Kernel, rows: readonly FileRow[]): Promise<void> {
  for (const row of rows) {
    try {
      await blob?.remove(placeOf(row))
      await db
        .update(file)
        .set({ removedAt: clock.now() })
        .where(and(eq(file.meshId, row.meshId), eq(file.id, row.id)))
    } catch (error) {
      if (!(error instanceof MeshError)) throw error
      log('warn', 'file_not_removed', { code: error.code })
      return
    }
  }
}

const readByAll = sql`exists (select 1 from mesh.file_audience a where a.mesh_id = ${file.meshId} and a.file_id = ${file.id})
  and not exists (select 1 from mesh.file_audience a where a.mesh_id = ${file.meshId} and a.file_id = ${file.id} and a.read_at is null)`
