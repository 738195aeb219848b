import { MeshError, times, type MeshId } from '@claudemesh/protocol'
import type { ChainTo } from './chain-types.ts'
import type { SessionKey } from './keys.ts'
import type { Payload } from './payloads.ts'
import { peekToken, signToken, verifyToken } from './token.ts'

/** The kinds of records that a session signs. */
export type RecordType = 'state' | 'memory' | 'file'

/** What a signed record says; `k` is the session that signed it. */
export type RecordOf<T extends RecordType> = Omit<Payload<T>, 't' | 'm'>

/** Signs a record with the writing session's key. Throws `too_large`. */
export const issueRecord = <T extends RecordType>(type: T, o: { mesh: MeshId; session: SessionKey } & Omit<RecordOf<T>, 'k'>): string => {
  const { mesh, session, ...content } = o
  return signToken(type, { m: mesh, k: session.publicKey, ...content }, session)
}

/** The writer and the time that a record claims, to know which certificates to verify and as of when. Throws `bad_record`. */
export const peekRecord = (token: string, type: RecordType): Pick<RecordOf<RecordType>, 'k' | 'ts'> =>
  asBadRecord(() => {
    const { k, ts } = peekToken(token, type)
    return { k, ts }
  })

/** What a record claims, with nothing verified: good for finding it, not for showing it. Throws `bad_record`. */
export const claimedRecord = <T extends RecordType>(token: string, type: T): RecordOf<T> => asBadRecord(() => peekToken(token, type) as unknown as RecordOf<T>)

/** Verifies a record as that of the session at the chain's end, written while its certificate counted. Throws `bad_record`. */
export const verifyRecord = <T extends RecordType>(token: string, type: T, o: { mesh: MeshId; chain: ChainTo<'session'> }): RecordOf<T> =>
  asBadRecord(() => {
    const { session } = o.chain
    const { t: _type, m: _mesh, ...record } = verifyToken(token, type, o.mesh, session.key) as Payload<RecordType>
    if (record.k !== session.key) throw bad('it names another session than the one that signed it')
    if (record.ts < session.iat - times.skew) throw bad('it is dated before its writer’s certificate')
    if (record.ts > session.exp + times.skew) throw bad('it is dated after its writer’s certificate ended')
    return record as unknown as RecordOf<T>
  })

function asBadRecord<R>(work: () => R): R {
  try {
    return work()
  } catch (error) {
    if (!(error instanceof MeshError) || error.code === 'bad_record') throw error
    throw new MeshError('bad_record', `the record is refused: ${error.message}`, { cause: error })
  }
}

const bad = (why: string) => new MeshError('bad_record', `the record is refused: ${why}`)
