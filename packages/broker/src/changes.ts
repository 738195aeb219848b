import type { Body, contract, StateId } from '@claudemesh/protocol'
import type { Read } from './state-rows.ts'
import { TokenTable } from './token-table.ts'
import type { Change } from './told.ts'

type Entry = Omit<Body<(typeof contract.state)['changed']>, 'tokens'>

/** A change of a stored value, and the frame that tells it. */
export interface Telling extends Change {
  readonly frame: string
}

export function stateChange(row: Read): Telling {
  const table = new TokenTable()
  const entry = stateEntry(row, table)
  return { ...changeOfState(row), frame: JSON.stringify({ type: 'state_change', ...entry, tokens: table.tokens }) }
}

export const changeOfState = ({ id, version }: Pick<Read, 'id' | 'version'>): Change => ({ subject: `state ${id}`, version })

/** There are rows up to this seq. */
export function memoryChange(seq: number): Telling {
  return { subject: 'memory', version: seq, frame: JSON.stringify({ type: 'memory_change', seq }) }
}

/** A row as frames show it, its certificates placed in the table of the frame. */
export function stateEntry(row: Read, table: TokenTable): Entry {
  const { id, version, record, key, json, deleted, updatedByPresence: writer, updatedByName: updatedBy, updatedAt, chain } = row
  return {
    version,
    ...(record ? { stateId: id as StateId, record } : { key }),
    ...(json === undefined ? {} : { value: JSON.parse(json) as unknown }),
    ...(deleted ? { deleted } : {}),
    writer,
    chain: chain.map((token) => table.place(token)),
    updatedBy,
    updatedAt,
  }
}
