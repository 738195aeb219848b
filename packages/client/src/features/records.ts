import {
  fingerprint,
  issueRecord,
  openRecord,
  peekRecord,
  sealRecord,
  TokenCache,
  verifyChain,
  verifyRecord,
  type ChainMember,
  type Purpose,
  type RecordOf,
  type SealedRecord,
} from '@claudemesh/crypto'
import { MeshError, times, type SessionPubkey } from '@claudemesh/protocol'
import type { Kernel } from '../kernel.ts'

/** A stored record as the broker hands it out: the row, and the certificates of the session that wrote it. */
export interface Row {
  readonly id: string
  readonly record: SealedRecord
  /** Root side first, ending in the session certificate. */
  readonly chain: readonly string[]
}

/** Who wrote a record, as its certificates say. */
export interface Author {
  readonly session: SessionPubkey
  /** The display name of the session while it is known, otherwise the member's. */
  readonly name: string
  readonly member: Pick<ChainMember, 'id' | 'key' | 'name' | 'role'>
  /** Of the session key. */
  readonly fingerprint: string
}

/** A record that opened and verified. */
export interface Verified<P extends Purpose> {
  readonly content: RecordOf<P>
  readonly by: Author
  readonly epoch: number
  /** As it was signed; its hash names it. */
  readonly token: string
}

/** A record of this session, ready to store. */
export interface Written {
  readonly record: SealedRecord
  readonly token: string
}

/** Seals what this session writes to the mesh's stored things, and verifies what others wrote. */
export class Records {
  readonly #kernel: Kernel
  readonly #cache = new TokenCache()

  constructor(kernel: Kernel) {
    this.#kernel = kernel
  }

  /** Signs and seals a record for row `id` under the key in force. Throws `too_large` or `no_mesh_key`. */
  async seal<P extends Purpose>(purpose: P, id: string, content: Omit<RecordOf<P>, 'k'>): Promise<Written> {
    const { options, keys, random } = this.#kernel
    const { mesh } = options.identity
    const token = issueRecord(purpose, { mesh, session: options.session.key, ...content })
    const { epoch, key } = await keys.current()
    return { record: sealRecord({ mesh, purpose, epoch, key, id, token, random }), token }
  }

  /**
   * Opens a row and verifies author and time. The certificates count as of the record's own time, so that what ended sessions wrote stays readable; what
   * a member wrote who is revoked since, only under an earlier epoch. Throws `cannot_open`, `bad_padding`, `bad_record`, a refusal of the chain, or `no_mesh_key`.
   */
  async open<P extends Purpose>(purpose: P, { id, record, chain: tokens }: Row): Promise<Verified<P>> {
    const { options, keys, policy } = this.#kernel
    const { mesh, root } = options.identity
    const token = openRecord(record, { mesh, purpose, id, key: await keys.of(record.e) })
    const { ts } = peekRecord(token, purpose)
    if (ts > options.clock.now() + times.skew) throw new MeshError('bad_record', 'the record is refused: it is dated in the future')
    const { current } = policy
    const revoked = record.e === current?.epoch?.number ? current.revoked : undefined
    const chain = verifyChain(tokens, { mesh, root, now: ts, ends: 'session', revoked, cache: this.#cache })
    const content = verifyRecord(token, purpose, { mesh, chain })
    return { content, by: this.#author(chain.session.key, chain.member), epoch: record.e, token }
  }

  #author(session: SessionPubkey, { id, key, name, role }: ChainMember): Author {
    const { self, roster } = this.#kernel
    const shown = session === self.session ? self.me.name : roster.believed(session)?.presence.name
    return { session, name: shown ?? name, member: { id, key, name, role }, fingerprint: fingerprint(session) }
  }
}
