import { openStore, type Migration } from '@claudemesh/drivers'
import type { Database } from '@claudemesh/broker'
import type { Config } from './config.ts'

/** Opens the store of these settings for one piece of work, and closes it. */
export async function withStore<T>(config: Config, options: { migrations?: readonly Migration[] }, work: (db: Database) => Promise<T>): Promise<T> {
  await using store = await openStore(config.storeUrl, options)
  return await work(store.db)
}
