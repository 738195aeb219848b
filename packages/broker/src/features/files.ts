import { and, asc, desc, eq, gt, isNull, lt } from 'drizzle-orm'
import { limits, MeshError, times, type contract, type FileId, type MemberPubkey, type RecipientPubkey, type SessionPubkey } from '@claudemesh/protocol'
import { verifyIn } from '../chains.ts'
import { admit, admitMembers, announce, blobOf, downloaded, placeOf, readableFile, received, uploadOf, type FileRow } from '../files.ts'
import { removeObjects } from '../file-sweep.ts'
import type { Handlers } from '../handlers.ts'
import type { Ready } from '../kernel.ts'
import { parseKeys } from '../recipients.ts'
import { file, fileAccess, fileAudience, writer, type SealedRecord } from '../tables.ts'
import { TokenTable } from '../token-table.ts'
import { keepWriter } from '../writers.ts'

export const files: Handlers<typeof contract.files, Ready> = {
  upload: async ({ kernel, mesh, me }, input) => {
    if (mesh.policy.body.allow.files !== 'sealed')
      throw new MeshError('wrong_form', 'the policy of this mesh wants plain files, which this broker does not keep')
    const blob = blobOf(kernel)
    const row = await announce(kernel, mesh, me, input)
    return { offset: row.finishedAt === null ? await blob.upload(placeOf(row), row.sizeBytes) : row.sizeBytes }
  },

  finish: async (context, { fileId: id, record, to, members = 0, targetSpec }) => {
    const { kernel, mesh, me } = context
    const row = await uploadOf(kernel, mesh.id, me.key, id)
    if (row.persistent && (!record || to !== undefined)) throw new MeshError('bad_frame', 'finish_file.record: a shared file has a manifest, and no recipients')
    if (!row.persistent && (record || to === undefined)) throw new MeshError('bad_frame', 'finish_file.to: an attachment has recipients, and no manifest')
    await blobOf(kernel).finish(placeOf(row), row.sizeBytes)
    if (to !== undefined) await admitAll(kernel, row, parseKeys(me.key, to), members)
    if (row.finishedAt !== null) return {}
    const finishedAt = kernel.clock.now()
    const visible = record
      ? { record, writerHash: await keepWriter(context), expiresAt: null }
      : { targetSpec: JSON.stringify(targetSpec ?? '*'), expiresAt: finishedAt + (row.forMail ? times.messageLife : times.attachmentLife) }
    await kernel.db
      .update(file)
      .set({ finishedAt, ...visible })
      .where(and(eq(file.meshId, mesh.id), eq(file.id, id)))
    return {}
  },

  list: async ({ kernel, mesh }, { after, order = 'oldest' }) => {
    const [follows, sorted] = order === 'oldest' ? [gt, asc] : [lt, desc]
    const rows = await kernel.db
      .select({ fileId: file.id, record: file.record, size: file.sizeBytes, uploadedAt: file.finishedAt, place: file.place, chain: writer.chain })
      .from(file)
      .innerJoin(writer, and(eq(writer.meshId, file.meshId), eq(writer.hash, file.writerHash)))
      .where(and(eq(file.meshId, mesh.id), eq(file.persistent, true), isNull(file.deletedAt), after === undefined ? undefined : follows(file.place, after)))
      .orderBy(sorted(file.place))
      .limit(limits.filesPerPage)
    const last = rows.length === limits.filesPerPage ? rows.at(-1)?.place : undefined
    return { ...fileTable(rows), ...(last === undefined ? {} : { next: last }) }
  },

  received: async ({ kernel, mesh, me }, { fileId: id }) => {
    const row = await readableFile(kernel, mesh.id, me, id)
    await downloaded(kernel, row, me)
    await received(kernel, row, me)
    return {}
  },

  status: async ({ kernel, mesh, me }, { fileId: id }) => {
    const row = await knownFile(kernel, mesh.id, id)
    if (row.finishedAt === null || (!row.persistent && row.uploadedByMember !== me.memberId)) throw new MeshError('not_found')
    return { readers: row.persistent ? await accesses(kernel, row) : await audience(kernel, row) }
  },

  delete: async ({ kernel, mesh, me }, { fileId: id }) => {
    const row = await knownFile(kernel, mesh.id, id)
    if (row.deletedAt !== null) throw new MeshError('not_found')
    const owns = row.uploadedByMember === me.memberId
    if (!owns && verifyIn(kernel, mesh, 'session', me.chain).member.role !== 'admin') {
      await readableFile(kernel, mesh.id, me, id)
      throw new MeshError('forbidden')
    }
    await kernel.db
      .update(file)
      .set({ deletedAt: kernel.clock.now(), record: null })
      .where(and(eq(file.meshId, mesh.id), eq(file.id, id)))
    await removeObjects(kernel, [row])
    return {}
  },
}

/** The last so many keys are those of members. */
async function admitAll(kernel: Ready['kernel'], row: FileRow, keys: readonly SessionPubkey[], members: number): Promise<void> {
  if (members > keys.length) throw new MeshError('bad_recipients', 'members is more than there are recipients')
  const sessions = keys.length - members
  await admit(kernel, row, keys.slice(0, sessions))
  await admitMembers(kernel, row, keys.slice(sessions) as RecipientPubkey[] as MemberPubkey[])
}

/** A row of this mesh, finished or not, deleted or not. Throws `not_found`. */
async function knownFile({ db }: Ready['kernel'], mesh: Ready['mesh']['id'], id: FileId): Promise<FileRow> {
  const [row] = await db
    .select()
    .from(file)
    .where(and(eq(file.meshId, mesh), eq(file.id, id)))
  if (!row) throw new MeshError('not_found')
  return row
}

interface Listed {
  readonly fileId: FileId
  readonly record: SealedRecord | null
  readonly size: number
  readonly uploadedAt: number | null
  readonly place: number
  readonly chain: readonly string[]
}

function fileTable(rows: readonly Listed[]) {
  const table = new TokenTable()
  const files = rows.flatMap(({ record, uploadedAt, chain, ...row }) =>
    record && uploadedAt !== null ? [{ ...row, record, uploadedAt, chain: chain.map((token) => table.place(token)) }] : [],
  )
  return { files, tokens: table.tokens }
}

async function accesses({ db }: Ready['kernel'], { meshId, id }: FileRow) {
  const { peerSessionPubkey, peerMemberId, peerName, accessedAt } = fileAccess
  return db
    .select({ sessionPubkey: peerSessionPubkey, memberId: peerMemberId, name: peerName, readAt: accessedAt })
    .from(fileAccess)
    .where(and(eq(fileAccess.meshId, meshId), eq(fileAccess.fileId, id)))
    .orderBy(asc(accessedAt), asc(peerName))
}

/** Who downloaded it, and the recipients for whom nobody has yet. */
async function audience(kernel: Ready['kernel'], row: FileRow) {
  const { sessionPubkey, memberId, peerName } = fileAudience
  const named = await kernel.db
    .select({ sessionPubkey, memberId, name: peerName })
    .from(fileAudience)
    .where(and(eq(fileAudience.meshId, row.meshId), eq(fileAudience.fileId, row.id), isNull(fileAudience.readAt)))
    .orderBy(asc(peerName), asc(sessionPubkey))
  const read = await accesses(kernel, row)
  const unread = named.filter((peer) => !read.some((other) => other.sessionPubkey === peer.sessionPubkey))
  return [...read, ...unread]
}
