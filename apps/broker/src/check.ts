import { probe } from '@claudemesh/broker'
import { openBlob, openBus, openStore } from '@claudemesh/drivers'
import type { Clock } from '@claudemesh/protocol'
import type { Config } from './config.ts'

/** One service that the settings name: whether it answers, and if not, why and what to do. */
export interface Checked {
  readonly part: 'store' | 'blob' | 'bus'
  readonly ok: boolean
  readonly why?: string
  readonly remedy?: string
}

const patience = 10_000

/** Tries each service once, without changing what is stored in it. */
export async function check(config: Config, clock: Clock): Promise<Checked[]> {
  const { storeUrl, blobUrl, busUrl } = config
  return Promise.all([
    tried(clock, 'store', 'see that STORE_URL names a server that runs, and a user who may use its database', async () => {
      await using store = await openStore(storeUrl, { migrate: false })
      await store.db.execute('select 1')
    }),
    ...(blobUrl === undefined
      ? []
      : [
          tried(clock, 'blob', 'see that BLOB_URL or MINIO_ENDPOINT names storage that runs, and keys that it knows', async () => {
            await using blob = await openBlob(blobUrl)
            await probe(blob)
          }),
        ]),
    tried(clock, 'bus', 'see that BUS_URL names a NATS server that runs, or leave it out for a single broker', async () => {
      await using _ = await openBus(busUrl)
    }),
  ])
}

async function tried(clock: Clock, part: Checked['part'], remedy: string, attempt: () => Promise<void>): Promise<Checked> {
  let cancel = () => {}
  const late = new Promise<Checked>((resolve) => {
    cancel = clock.after(patience, () => resolve({ part, ok: false, why: `no answer within ${patience / 1000} s`, remedy }))
  })
  const done = attempt().then(
    (): Checked => ({ part, ok: true }),
    (error: unknown): Checked => ({ part, ok: false, why: wordsOf(error), remedy }),
  )
  const result = await Promise.race([done, late])
  cancel()
  return result
}

/** The line for people. */
export const lineOf = ({ part, ok, why = '', remedy = '' }: Checked): string => (ok ? `ok    ${part}` : `FAIL  ${part}: ${why}; ${remedy}`)

function wordsOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  if (error instanceof AggregateError) return error.errors.map(wordsOf).join(', ')
  const words = 'query' in error && error.cause instanceof Error ? wordsOf(error.cause) : error.message || ('code' in error ? String(error.code) : error.name)
  return words.replace(/([a-z0-9+]+:\/\/)[^\s/@]*@/gi, '$1')
}
