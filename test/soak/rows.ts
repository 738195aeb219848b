import type { SessionPubkey } from '@claudemesh/protocol'
import postgres from 'postgres'

/** What the store holds, as its statistics count it, and its size on disk in bytes. */
export interface Stored {
  readonly messages: number
  readonly deliveries: number
  readonly presences: number
  /** Deliveries that wait for their recipients. */
  readonly queued: number
  readonly bytes: number
}

/** A look into the store of a soak. */
export class Rows implements AsyncDisposable {
  readonly #sql: postgres.Sql

  constructor(store: string) {
    this.#sql = postgres(store, { max: 1, onnotice: () => {} })
  }

  async stored(): Promise<Stored> {
    const [row] = await this.#sql<Stored[]>`
      with rows as (select relname, n_live_tup::float8 as n from pg_stat_user_tables where schemaname = 'mesh')
      select (select n from rows where relname = 'message') as messages, (select n from rows where relname = 'delivery') as deliveries,
        (select n from rows where relname = 'presence') as presences,
        (select count(*)::float8 from mesh.delivery where rung in ('stored', 'received')) as queued, pg_database_size(current_database())::float8 as bytes`
    return row as Stored
  }

  /** What should be gone and is not, a sentence each, once everybody has left; what waits for these sessions may remain. */
  async left(vanished: readonly SessionPubkey[]): Promise<string[]> {
    const [row] = await this.#sql<{ live: number; queued: number }[]>`
      select (select count(*)::int from mesh.presence where live) as live, (select count(*)::int from mesh.delivery where rung in ('stored', 'received') and recipient_pubkey <> all(${[...vanished]})) as queued`
    return [
      ...(row?.live === 0 ? [] : [`${row?.live ?? '?'} presences are left live in the store`]),
      ...(row?.queued === 0 ? [] : [`${row?.queued ?? '?'} deliveries are left in queues`]),
    ]
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#sql.end()
  }
}
