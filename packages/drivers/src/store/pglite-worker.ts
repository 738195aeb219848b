import { parentPort, workerData } from 'node:worker_threads'
import { PGlite, types, type QueryOptions } from '@electric-sql/pglite'
import type { Answer, Ask } from './pglite-thread.ts'

// Drizzle reads times and intervals as text; functions cannot cross from its thread, so they are named here.
const asText = [types.TIMESTAMP, types.TIMESTAMPTZ, types.INTERVAL, types.DATE, 1231, 1115, 1185, 1187, 1182]
const parsers: NonNullable<QueryOptions['parsers']> = Object.fromEntries(asText.map((type) => [type, (value: string) => value]))

const port = parentPort
if (!port) throw new Error('the embedded store runs as a worker thread')
const answer = (message: Answer) => port.postMessage(message)

try {
  const client = await PGlite.create((workerData as { folder: string | undefined }).folder)
  port.on('message', (ask: Ask) => void handle(client, ask))
  answer({ id: 0 })
} catch (error) {
  answer({ id: 0, error })
}

async function handle(client: PGlite, ask: Ask): Promise<void> {
  try {
    if (ask.sql === undefined) {
      await client.close()
      answer({ id: ask.id })
      port?.close()
      return
    }
    const { rows, fields, affectedRows } = await client.query(ask.sql, ask.params, { rowMode: ask.rowMode ?? 'object', parsers })
    answer({ id: ask.id, result: { rows, fields, affectedRows } })
  } catch (error) {
    // After a trap PostgreSQL's memory is no longer to be trusted: the thread ends.
    if (error instanceof Error && error.name === 'RuntimeError') throw error
    answer({ id: ask.id, error, code: (error as { code?: unknown } | null)?.code })
  }
}
