import { and, eq, gt, inArray, isNotNull, isNull, or, sql } from 'drizzle-orm'
import { memberIdOf } from '@claudemesh/crypto'
import {
  limits,
  MeshError,
  times,
  type FileId,
  type MemberId,
  type MemberPubkey,
  type MeshId,
  type RecipientPubkey,
  type SessionPubkey,
} from '@claudemesh/protocol'
import { causeOf } from './cause.ts'
import type { Kernel } from './kernel.ts'
import type { Mesh } from './mesh.ts'
import type { Blob, BlobKey } from './ports.ts'
import type { Presence } from './presence.ts'
import { file, fileAccess, fileAudience, member, presence } from './tables.ts'

export type FileRow = typeof file.$inferSelect

/** Where files are. Throws `storage_unavailable` when this broker keeps none. */
export function blobOf({ blob }: Pick<Kernel, 'blob'>): Blob {
  if (!blob) throw new MeshError('storage_unavailable', 'this broker keeps no files')
  return blob
}

/** Where the object of a file is; that of an attachment under the day of its upload, unless it outlives it by days. */
export function placeOf({ meshId, id, persistent, forMail, uploadedAt }: FileRow): BlobKey {
  if (persistent || forMail) return { mesh: meshId, file: id, area: 'shared' }
  return { mesh: meshId, file: id, area: 'ephemeral', day: new Date(uploadedAt).toISOString().slice(0, 10) }
}

interface Announced {
  readonly fileId: FileId
  readonly kind: 'shared' | 'attachment' | 'mail'
  readonly size: number
}

/** Takes note of an upload, or finds it again. Throws `quota_exceeded`, and `not_found` for the file of another session. */
export async function announce(kernel: Kernel, mesh: Mesh, me: Presence, o: Announced): Promise<FileRow> {
  return kernel.db.transaction(async (db) => {
    // One announcement at a time in a mesh: each must see what the others take.
    await db.execute(sql`select 1 from mesh.mesh where id = ${mesh.id} for update`)
    const [known] = await db
      .select()
      .from(file)
      .where(and(eq(file.meshId, mesh.id), eq(file.id, o.fileId)))
    if (known) return sameUpload(known, me, o)
    const [taken] = await db
      .select({
        bytes: sql<number>`coalesce(sum(${file.sizeBytes}), 0)::float8`,
        underWay: sql<number>`(count(*) filter (where ${file.uploadedBySession} = ${me.key} and ${file.finishedAt} is null))::int`,
      })
      .from(file)
      .where(and(eq(file.meshId, mesh.id), isNull(file.removedAt)))
    const { bytes, underWay } = taken ?? { bytes: 0, underWay: 0 }
    if (bytes + o.size > kernel.fileQuota)
      throw new MeshError('quota_exceeded', `the files of this mesh take ${bytes} of ${kernel.fileQuota} bytes; delete some first`)
    if (underWay >= limits.uploadsPerSession)
      throw new MeshError('quota_exceeded', `${underWay} uploads of this session are under way; finish or delete them first`)
    const now = kernel.clock.now()
    const row = { meshId: mesh.id, id: o.fileId, sizeBytes: o.size, ...formOf(o), uploadedBySession: me.key, uploadedByMember: me.memberId }
    const [made] = await db
      .insert(file)
      .values({ ...row, uploadedAt: now, expiresAt: now + times.uploadLife })
      .returning()
    return made as FileRow
  })
}

const formOf = ({ kind }: Announced) => ({ persistent: kind === 'shared', forMail: kind === 'mail' })

function sameUpload(known: FileRow, me: Presence, o: Announced): FileRow {
  const { persistent, forMail } = formOf(o)
  const same =
    known.uploadedBySession === me.key && known.deletedAt === null && known.sizeBytes === o.size && known.persistent === persistent && known.forMail === forMail
  if (!same) throw new MeshError('not_found')
  return known
}

/** A file that this session uploads or uploaded. Throws `not_found`. */
export async function uploadOf({ db }: Kernel, mesh: MeshId, session: SessionPubkey, id: FileId): Promise<FileRow> {
  const [row] = await db
    .select()
    .from(file)
    .where(and(eq(file.meshId, mesh), eq(file.id, id), eq(file.uploadedBySession, session), isNull(file.deletedAt)))
  if (!row) throw new MeshError('not_found')
  return row
}

/** While this lasts, and for an hour after it, an upload is not given up, by no node's sweep. */
export function goingOn({ db, clock, log }: Pick<Kernel, 'db' | 'clock' | 'log'>, { meshId, id }: FileRow): AsyncDisposable {
  const putOff = async () => {
    await db
      .update(file)
      .set({ expiresAt: clock.now() + times.uploadLife })
      .where(and(eq(file.meshId, meshId), eq(file.id, id), isNull(file.finishedAt)))
  }
  let cancel = () => {}
  const again = () => {
    cancel = clock.after(times.uploadLife / 4, () => {
      putOff().catch((error: unknown) => log('error', 'store_failed', { what: 'upload', cause: causeOf(error) }))
      again()
    })
  }
  again()
  return {
    [Symbol.asyncDispose]: async () => {
      cancel()
      await putOff()
    },
  }
}

/** A finished file that this session may download. Throws `not_found`, whatever the reason. */
export async function readableFile({ db, clock }: Kernel, mesh: MeshId, me: Presence, id: FileId): Promise<FileRow> {
  const [row] = await db
    .select()
    .from(file)
    .where(
      and(
        eq(file.meshId, mesh),
        eq(file.id, id),
        isNotNull(file.finishedAt),
        isNull(file.deletedAt),
        or(isNull(file.expiresAt), gt(file.expiresAt, clock.now())),
        or(eq(file.persistent, true), eq(file.uploadedByMember, me.memberId), inArray(file.id, addressedTo(db, mesh, me.key, me.memberId))),
      ),
    )
  if (!row) throw new MeshError('not_found')
  return row
}

const addressedTo = (db: Kernel['db'], mesh: MeshId, session: SessionPubkey, member: MemberId) =>
  db
    .select({ id: fileAudience.fileId })
    .from(fileAudience)
    .where(and(eq(fileAudience.meshId, mesh), or(eq(fileAudience.sessionPubkey, session), eq(fileAudience.memberId, member))))

/** Adds these sessions to those who may download an attachment; keys that are no sessions of the mesh are passed over. */
export async function admit({ db }: Kernel, { meshId, id }: FileRow, sessions: readonly SessionPubkey[]): Promise<void> {
  const known = await db
    .select({ sessionPubkey: presence.sessionPubkey, memberId: presence.memberId, token: presence.presence })
    .from(presence)
    .where(and(eq(presence.meshId, meshId), inArray(presence.sessionPubkey, [...sessions])))
  if (known.length === 0) return
  const audience = known.map(({ token, ...row }) => ({ ...row, meshId, fileId: id, peerName: nameIn(token) }))
  await db.insert(fileAudience).values(audience).onConflictDoNothing()
}

/** The same for members whose next sessions get it with their mail. */
export async function admitMembers({ db }: Kernel, { meshId, id }: FileRow, keys: readonly MemberPubkey[]): Promise<void> {
  const ids = keys.map((key) => memberIdOf(meshId, key))
  const known = await db
    .select({ key: member.pubkey, memberId: member.id, peerName: member.name })
    .from(member)
    .where(and(eq(member.meshId, meshId), inArray(member.id, ids)))
  if (known.length === 0) return
  const audience = known.map(({ key, ...row }) => ({ ...row, meshId, fileId: id, sessionPubkey: key as RecipientPubkey as SessionPubkey }))
  await db.insert(fileAudience).values(audience).onConflictDoNothing()
}

/** Takes note that a session has had all bytes of a file. */
export async function downloaded({ db, clock }: Kernel, { meshId, id }: FileRow, me: Presence): Promise<void> {
  const peer = { peerSessionPubkey: me.key, peerMemberId: me.memberId, peerName: nameIn(me.signed.token) }
  await db
    .insert(fileAccess)
    .values({ meshId, fileId: id, accessedAt: clock.now(), ...peer })
    .onConflictDoNothing()
}

/** A recipient has an attachment, verified; another session of its member counts as that recipient. */
export async function received({ db, clock }: Kernel, { meshId, id }: FileRow, me: Presence): Promise<void> {
  const mine = or(eq(fileAudience.sessionPubkey, me.key), eq(fileAudience.memberId, me.memberId))
  await db
    .update(fileAudience)
    .set({ readAt: clock.now() })
    .where(and(eq(fileAudience.meshId, meshId), eq(fileAudience.fileId, id), isNull(fileAudience.readAt), mine))
}

/** The name in a presence token, which was verified when it came. */
function nameIn(token: string): string {
  const { name } = JSON.parse(Buffer.from(token.split('.')[0] ?? '', 'base64url').toString()) as { name: string }
  return name
}
