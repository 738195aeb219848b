import { MeshError, type MeshId } from '@claudemesh/protocol'
import { openAead, sealAead, type AeadBox } from './aead.ts'
import { toB64u } from './base64.ts'
import { subkey, type MeshKey } from './mesh-keys.ts'
import { pad, unpad } from './padding.ts'
import type { Random } from './random.ts'
import { decodeText, encodeText, sodium } from './sodium.ts'

/** What a sealed record is for; a record of one purpose does not open as another. */
export type Purpose = 'state' | 'memory' | 'file'

/** A signed record token, padded and sealed under the key of epoch `e`. */
export interface SealedRecord extends AeadBox {
  readonly e: number
}

const context = (purpose: Purpose, mesh: MeshId, epoch: number, id: string) => `cm1:${purpose}\0${mesh}\0${epoch}\0${id}`

/** Seals a record's token to its purpose, mesh, epoch and row. */
export function sealRecord(o: { mesh: MeshId; purpose: Purpose; epoch: number; key: MeshKey; id: string; token: string; random: Random }): SealedRecord {
  return { e: o.epoch, ...sealAead(subkey(o.key, o.purpose), context(o.purpose, o.mesh, o.epoch, o.id), pad(encodeText(o.token)), o.random) }
}

/** The token in a record, not yet verified. Throws `cannot_open` or `bad_padding`. */
export function openRecord(record: SealedRecord, o: { mesh: MeshId; purpose: Purpose; id: string; key: MeshKey }): string {
  const padded = openAead(subkey(o.key, o.purpose), context(o.purpose, o.mesh, record.e, o.id), record)
  const bytes = unpad(padded)
  try {
    return decodeText(bytes)
  } catch (cause) {
    throw new MeshError('cannot_open', 'the sealed record is not text', { cause })
  }
}

/** The row of a state key: the same for every member, and nothing to who does not know the key of the first epoch. */
export const stateId = (firstKey: MeshKey, key: string): string =>
  toB64u(sodium.crypto_generichash(16, encodeText(key.normalize('NFC')), subkey(firstKey, 'stateIndex')))
