import { fingerprint, stateId as stateIdOf, tokenHash, type RecordOf, type SealedRecord } from '@claudemesh/crypto'
import { MeshError, parseName, parseStateKey, stateJson, type SessionPubkey, type StateId } from '@claudemesh/protocol'
import type { Kernel } from './kernel.ts'
import type { Seen } from './state-seen.ts'

/** A row as the broker tells of it. */
export interface StateFrame {
  readonly version: number
  readonly stateId?: StateId | undefined
  readonly record?: SealedRecord | undefined
  readonly key?: string | undefined
  readonly value?: unknown
  readonly deleted?: boolean | undefined
  readonly writer: SessionPubkey
  readonly chain: readonly number[]
  readonly updatedBy: string
  readonly updatedAt: number
}

/** A row that was opened and verified, or in a plain mesh taken at the broker's word. */
export interface StateRow {
  readonly id: string
  readonly key: string
  readonly version: number
  /** Absent for a deleted key. */
  readonly value: unknown
  readonly deleted: boolean
  readonly by: { readonly name: string; readonly member?: string; readonly session: SessionPubkey; readonly fingerprint: string }
  readonly at: number
  readonly verified: boolean
  readonly hash?: string
  readonly prev?: string | undefined
}

type Reading = Pick<Kernel, 'records' | 'keys'> & { readonly form: 'sealed' | 'plain' }

/** Opens and verifies a row in the form that the signed policy asks for. Throws the named refusal. */
export function readRow(frame: StateFrame, tokens: readonly string[], reading: Reading): Promise<StateRow> | StateRow {
  if (reading.form === 'plain') return plainRow(frame)
  const { stateId, record } = frame
  if (stateId === undefined || record === undefined) throw new MeshError('wrong_form', 'the broker shows a plain value, but the state of this mesh is sealed')
  const chain = frame.chain.map((index) => tokens[index])
  if (!chain.every((token) => token !== undefined)) throw new MeshError('bad_frame', 'a row refers to a token that the frame lacks')
  return sealedRow(frame, stateId, { record, chain }, reading)
}

function plainRow({ key, version, value, deleted = false, writer, updatedBy, updatedAt, record }: StateFrame): StateRow {
  if (key === undefined || record !== undefined) throw new MeshError('wrong_form', 'the broker shows a sealed record, but the state of this mesh is plain')
  if (!deleted) stateJson(value, 'plain')
  const by = { name: nameOr(updatedBy, 'unknown'), session: writer, fingerprint: fingerprint(writer) }
  return { id: `=${key}`, key: parseStateKey(key), version, value, deleted, by, at: updatedAt, verified: false }
}

async function sealedRow(
  { version, deleted = false }: StateFrame,
  id: StateId,
  sealed: { record: SealedRecord; chain: readonly string[] },
  { records, keys }: Reading,
): Promise<StateRow> {
  const { content, token, by } = await records.open('state', { id, ...sealed })
  checkClaims(content, { id, version, deleted }, stateIdOf(await keys.first(), content.key))
  return {
    id,
    key: content.key,
    version,
    value: content.val,
    deleted,
    // The name it bore when it wrote.
    by: { name: nameOr(content.name, by.name), member: by.member.name, session: by.session, fingerprint: by.fingerprint },
    at: content.ts,
    verified: true,
    hash: tokenHash(token),
    prev: content.prev,
  }
}

/** What the broker says beside the seal must be what the writer signed inside it. */
function checkClaims(content: RecordOf<'state'>, row: { id: StateId; version: number; deleted: boolean }, idOfKey: string): void {
  if (parseStateKey(content.key) !== content.key || idOfKey !== row.id) throw bad('it stands in the row of another key')
  if (content.ver !== row.version) throw bad(`its writer made it version ${content.ver}, the broker calls it ${row.version}`)
  if ((content.deleted === true) !== row.deleted) throw bad('broker and writer disagree on whether the key is deleted')
  if (!row.deleted) stateJson(content.val, 'sealed')
}

/** Throws `rolled_back` where a row contradicts what was seen of it: `before` when the broker was asked, `now` at any time. */
export function checkHistory(row: StateRow, before: Seen | undefined, now: Seen | undefined): void {
  if (before && row.version < before.version) throw old(row, `version ${row.version}, but version ${before.version} was there before`)
  if (!now?.hash || row.hash === undefined) return
  if (row.version === now.version && row.hash !== now.hash) throw old(row, `another version ${row.version} than the one that was there before`)
  if (row.version === now.version + 1 && row.prev !== undefined && row.prev !== now.hash)
    throw old(row, `a version ${row.version} that replaced another history`)
}

/** A name for people; the broker or a member may claim anything. */
function nameOr(claimed: string | undefined, otherwise: string): string {
  try {
    return claimed === undefined ? otherwise : parseName(claimed)
  } catch {
    return otherwise
  }
}

const old = (row: StateRow, what: string) => new MeshError('rolled_back', `the broker shows ${JSON.stringify(row.key)} in ${what}`)
const bad = (why: string) => new MeshError('bad_record', `the record is refused: ${why}`)
