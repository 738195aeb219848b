import { appendFileSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { LedgerEntry } from '@claudemesh/mcp'
import { Kept } from './kept.ts'

/** The ledger of a session that no launch keeps: a file of message ids in its folder. */
export function ledgerFile(folder: string): { kept: Kept['value']; record: (entry: LedgerEntry) => void } {
  const path = join(folder, 'ledger.jsonl')
  const kept = new Kept()
  for (const line of read(path).split('\n')) kept.take(line)
  return {
    kept: kept.value,
    record: (entry) => {
      try {
        appendFileSync(path, `${JSON.stringify(entry)}\n`, { mode: 0o600 })
      } catch {
        // Without it a successor may show again what a broker repeats.
      }
    },
  }
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}
