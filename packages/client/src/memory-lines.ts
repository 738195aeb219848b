import type { SealedRecord } from '@claudemesh/crypto'
import type { MemoryId, MeshId } from '@claudemesh/protocol'

/** A sealed memory as the broker gave it, and whether it turned out to say that it is forgotten. */
export interface SealedRow {
  readonly id: MemoryId
  readonly seq: number
  readonly record: SealedRecord
  /** Names its writer's certificates. */
  readonly writer: string
  readonly forgotten: boolean
}

/** Sealed memories and their writers' certificates, as one process knows them. */
export interface Rows {
  readonly rows: Map<MemoryId, SealedRow>
  readonly writers: Map<string, readonly string[]>
}

const version = 1

/** The first line of a cache: whose it is, and a word that no other cache begins with. */
export const headOf = (mesh: MeshId, word: string): string => `memory ${version} ${mesh} ${word}\n`

/** A row as a line; nothing in it contains a blank. */
export const rowLine = ({ id, seq, record, writer, forgotten }: SealedRow): string =>
  `r ${id} ${seq} ${writer} ${forgotten ? 1 : 0} ${record.e} ${record.n} ${record.c}\n`

/** A writer's certificates as a line. */
export const writerLine = (writer: string, chain: readonly string[]): string => `w ${writer} ${chain.join(' ')}\n`

/** Reads lines back, of repeated rows the newest; undefined when they are another mesh's, of another version or damaged. What a crash cut off at the end is left out. */
export function readLines(text: string, mesh: MeshId): (Rows & { readonly lines: number }) | undefined {
  const lines = text.split('\n').slice(0, -1)
  if (!lines[0]?.startsWith(`memory ${version} ${mesh} `)) return undefined
  const rows: Rows = { rows: new Map(), writers: new Map() }
  for (const line of lines.slice(1)) if (!readLine(line.split(' '), rows)) return undefined
  for (const row of rows.rows.values()) if (!rows.writers.has(row.writer)) return undefined
  return { ...rows, lines: lines.length }
}

/** All rows as lines, each once. */
export const allLines = ({ rows, writers }: Rows): string =>
  [...Array.from(writers, ([writer, chain]) => writerLine(writer, chain)), ...Array.from(rows.values(), rowLine)].join('')

function readLine(parts: readonly string[], { rows, writers }: Rows): boolean {
  if (parts[0] === 'w' && parts.length > 3) {
    writers.set(parts[1] ?? '', parts.slice(2))
    return true
  }
  const [kind, id, seq, writer = '', forgotten, e, n = '', c = ''] = parts
  if (kind !== 'r' || parts.length !== 8 || !(Number(seq) > 0)) return false
  const row: SealedRow = { id: id as MemoryId, seq: Number(seq), writer, forgotten: forgotten === '1', record: { e: Number(e), n, c } }
  if (row.seq >= (rows.get(row.id)?.seq ?? 0)) rows.set(row.id, row)
  return true
}
